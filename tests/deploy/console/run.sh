#!/usr/bin/env bash
# needs: python chromium
exec "${FLOE_TEST_PYTHON:-python3}" "$(dirname "$0")/suite.py" "$@"

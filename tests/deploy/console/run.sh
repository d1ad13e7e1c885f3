#!/usr/bin/env bash
# needs: python chromium
exec python "$(dirname "$0")/suite.py" "$@"

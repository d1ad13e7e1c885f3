#!/usr/bin/env bash
# needs: python
# full
exec python3 "$(dirname "$0")/suite.py" "$@"

#!/usr/bin/env bash
# needs: python
exec python3 "$(dirname "$0")/suite.py" "$@"

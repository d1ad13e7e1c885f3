#!/usr/bin/env bash
# needs: terraform python
exec python3 "$(dirname "$0")/suite.py" "$@"

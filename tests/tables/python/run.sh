#!/usr/bin/env bash
# needs: python3-venv
exec python3 "$(dirname "$0")/run.py"

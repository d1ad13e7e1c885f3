#!/usr/bin/env bash
# needs: python cargo
# full
exec python3 "$(dirname "$0")/run.py"

#!/usr/bin/env bash
# needs: java mvn python
# full
exec python3 "$(dirname "$0")/run.py"

#!/usr/bin/env bash
# needs: java mvn
exec python3 "$(dirname "$0")/../run.py" java

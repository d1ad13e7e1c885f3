#!/usr/bin/env bash
# needs: npm
exec python3 "$(dirname "$0")/../run.py" node

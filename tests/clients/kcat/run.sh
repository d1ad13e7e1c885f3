#!/usr/bin/env bash
# needs: kcat
exec python3 "$(dirname "$0")/../run.py" kcat

#!/usr/bin/env bash
# full
exec python3 "$(dirname "$0")/../run.py" mixed

#!/usr/bin/env bash
# needs: make gcc g++
exec python3 "$(dirname "$0")/suite.py"

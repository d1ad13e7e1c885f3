"""Packages of a suite, in a venv below target/."""

import os
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "target"


def enter(name, packages):
    """Goes on in the venv, or says why it cannot."""
    if os.environ.get("FLOE_TABLES_VENV"):
        return
    venv = TARGET / name
    stamp = venv / "floe-packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        pip = [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", str(venv)], [*pip, *packages]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
                print(f"SKIP tables: {' '.join(command[:4])}: {last[-1]}")
                sys.exit(0)
        stamp.write_text("\n".join(packages))
    os.execve(venv / "bin/python", [str(venv / "bin/python"), *sys.argv], {**os.environ, "FLOE_TABLES_VENV": "1"})

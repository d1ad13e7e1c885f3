"""Programs that come as source only, built from their modules and kept in target/: Go's in target/go, Rust's in target/cargo/bin.

A program that `FLOE_TEST_<NAME>` names, or that is on the path, is taken as it is.
"""

import os
import shutil
import tempfile
from pathlib import Path

from run import TARGET, Skip, need, quiet

FULL = os.environ.get("FLOE_TEST_FULL") == "1"


def go(name, module):
    """Built with FLOE_TEST_FULL=1, and anew where another version was; minutes the first time."""
    place = TARGET / "go" / name
    return found(name, module, place, None if FULL else "FLOE_TEST_FULL=1", lambda: by_go(place, module))


def cargo(name, version):
    """Built only where that is asked for: it takes longer than all that it is for."""
    asked = f"FLOE_TEST_{variable(name)}_BUILD"
    place = TARGET / "cargo" / "bin" / name
    return found(name, version, place, None if os.environ.get(asked) == "1" else f"{asked}=1", lambda: by_cargo(name, version))


def found(name, version, place, missing, build):
    given, stamp = os.environ.get(f"FLOE_TEST_{variable(name)}"), place.with_name(f"{name}.version")
    if given:
        return given
    if place.is_file() and stamp.is_file() and stamp.read_text() == version:
        return str(place)
    if on_path := shutil.which(name):
        return on_path
    if missing:
        raise Skip(f"{name} is not here, and is built with {missing} only")
    place.parent.mkdir(parents=True, exist_ok=True)
    build()
    stamp.write_text(version)
    return str(place)


def variable(name):
    return name.upper().replace("-", "_")


def by_go(place, module):
    need("go")
    # Go calls a program by the last folder of its path.
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        quiet(["go", "install", module], "go install", env=dict(os.environ, GOBIN=folder, GOFLAGS="-buildvcs=false"))
        (program,) = Path(folder).iterdir()
        program.replace(place)


def by_cargo(name, version):
    need("cargo")
    folder = TARGET / "cargo"
    # What it is asked is no matter of speed.
    command = ["cargo", "install", name, "--version", version, "--locked", "--debug", "--root", folder, "--target-dir", folder / "build"]
    quiet(command, "cargo install", env=dict(os.environ, CARGO_PROFILE_DEV_DEBUG="0"))

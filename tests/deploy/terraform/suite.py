#!/usr/bin/env python3
"""terraform/: python3 tests/deploy/terraform/suite.py [CHECK…]; without names all that are quick, with FLOE_TEST_FULL=1 all.

Quick: formatting, the module and its examples validated, the unit files and scripts that machines get, and that brokers' policy names exactly
the calls that a broker makes. Full: `terraform test` with a mocked provider; apply, plan without changes, change, destroy with the real provider on
LocalStack and moto, and the minio example on a machine by SSH. What is not here is skipped with the reason. Works on copies; needs no network but
pip's for the emulators.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tests" / "clients")]

import emulators
import machine
import policy
import static
from run import Skip

FULL = os.environ.get("FLOE_TEST_FULL") == "1"
QUICK = {"policy": policy.check, "format": static.formatted, "validate": static.validated, "installed": static.installed}
LONG = {"test": static.tested, "localstack": emulators.localstack, "moto": emulators.moto, "minio": machine.check}


def one(name, check):
    folder = Path(tempfile.mkdtemp(prefix=f"floe-terraform-{name}-"))
    began = time.monotonic()
    try:
        said = check(folder)
    except Skip as reason:
        print(f"SKIP   {name}: {reason}", flush=True)
        outcome = "SKIP"
    except (Exception, SystemExit) as error:
        print(f"FAILED {name} {time.monotonic() - began:.1f} s, see {folder}: {error}", flush=True)
        if not isinstance(error, (AssertionError, SystemExit, subprocess.TimeoutExpired)):
            traceback.print_exc()
        return "FAILED"
    else:
        print(f"ok     {name} {time.monotonic() - began:.1f} s: {said}", flush=True)
        outcome = "ok"
    shutil.rmtree(folder)
    return outcome


def main():
    checks = {**QUICK, **LONG}
    wanted = sys.argv[1:] or list(checks if FULL else QUICK)
    unknown = [name for name in wanted if name not in checks]
    if unknown:
        sys.exit(f"no such check: {' '.join(unknown)}; there are {' '.join(checks)}")
    # Two at a time: most of a check is Terraform reading the provider's schema.
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(pool.map(lambda name: one(name, checks[name]), wanted))
    passed, failed, skipped = (outcomes.count(word) for word in ("ok", "FAILED", "SKIP"))
    if not FULL and not sys.argv[1:]:
        print(f"SKIP   {' '.join(LONG)}: only with FLOE_TEST_FULL=1")
    print(f"test result: {'FAILED' if failed else 'ok'}. terraform: {passed} passed; {failed} failed; {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

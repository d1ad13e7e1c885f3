#!/usr/bin/env python3
"""terraform/: python3 tests/deploy/terraform/suite.py [CHECK…]; without names all that are quick, with FLOE_TEST_FULL=1 all.

Quick: formatting, the module and its examples validated, the unit files and scripts that machines get, and that brokers' policy names exactly
the calls that a broker makes. Full: `terraform test` with a mocked provider; apply, plan without changes, change, destroy with the real provider on
LocalStack and moto, and the minio example on a machine by SSH. What is not here is skipped with the reason. Works on copies; needs no network but
pip's for the emulators.
"""

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "tests" / "clients")]

import checks
import emulators
import machine
import policy
import static

FULL = os.environ.get("FLOE_TEST_FULL") == "1"
QUICK = {"policy": policy.check, "format": static.formatted, "validate": static.validated, "installed": static.installed}
LONG = {"test": static.tested, "localstack": emulators.localstack, "moto": emulators.moto, "minio": machine.check}


if __name__ == "__main__":
    # Two at a time: most of a check is Terraform reading the provider's schema.
    checks.main("terraform", QUICK, LONG, at_once=2)

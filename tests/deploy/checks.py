"""The checks of a suite, one after another or some at a time: each with a folder of its own, a line for each, and the summary line that the tests' runner
reads. A folder stays where its check failed."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from run import Skip

FULL = os.environ.get("FLOE_TEST_FULL") == "1"


def one(suite, name, check):
    folder = Path(tempfile.mkdtemp(prefix=f"floe-{suite}-{name}-"))
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


def main(suite, quick, long=None, at_once=1):
    """Runs the checks that the command line names, else the quick ones, with FLOE_TEST_FULL=1 all; ends the process."""
    long = long or {}
    checks = {**quick, **long}
    wanted = sys.argv[1:] or list(checks if FULL else quick)
    unknown = [name for name in wanted if name not in checks]
    if unknown:
        sys.exit(f"no such check: {' '.join(unknown)}; there are {' '.join(checks)}")
    run = functools.partial(one, suite)
    if at_once == 1:
        outcomes = [run(name, checks[name]) for name in wanted]
    else:
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            outcomes = list(pool.map(run, wanted, [checks[name] for name in wanted]))
    if long and not FULL and not sys.argv[1:]:
        print(f"SKIP   {' '.join(long)}: only with FLOE_TEST_FULL=1")
    passed, failed, skipped = (outcomes.count(word) for word in ("ok", "FAILED", "SKIP"))
    print(f"test result: {'FAILED' if failed else 'ok'}. {suite}: {passed} passed; {failed} failed; {skipped} skipped")
    sys.exit(1 if failed else 0)

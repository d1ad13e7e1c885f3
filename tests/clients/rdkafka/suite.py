#!/usr/bin/env python3
"""The integration tests of the crate rdkafka against Floe: python3 tests/clients/rdkafka/suite.py

Its source is what cargo has from its registry; it is copied to target/ and built there, with what its tests need besides (minutes, once).
What does not run is in SKIPS with its reason; one that is no test, or a file of tests that is not known here, fails the suite.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import run  # noqa: E402

CRATE = "rdkafka"
VERSION = "4.1.0"
# As its README wants the broker; it is node 0.
OPTIONS = [*run.OPTIONS, "num.partitions=3"]
FILES = ["test_admin", "test_high_consumers", "test_high_producers", "test_low_consumers", "test_low_producers", "test_metadata"]
FILES += ["test_topic_partition_list"]
SKIPPED_FILES = {"test_transactions": "transactions are not served yet"}
SKIPS = {
    "test_configs": "alters log.flush.interval.messages, which Floe has not: what is acknowledged is on disk",
    "test_base_producer_timeout": "expects that a topic is not there 100 ms after it was asked for",
}
# Some tests know Kafka's usual port.
PATCHES = {
    "test_high_producers": ('"localhost"', "&get_bootstrap_server()"),
    "test_metadata": (", 9092)", ", get_bootstrap_server().rsplit(':').next().unwrap().parse::<i32>().unwrap())"),
}
LIMIT = 300
RESULT = re.compile(r"^test (\S+) \.\.\. (\w+)", re.M)


def build():
    """The programs of the tests."""
    found = subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1"], cwd=HERE, stdout=subprocess.PIPE, check=True)
    [crate] = [package for package in json.loads(found.stdout)["packages"] if package["name"] == CRATE]
    folder = run.TARGET / "clients" / f"rdkafka-{crate['version']}"
    if not folder.exists():
        shutil.copytree(Path(crate["manifest_path"]).parent, folder, ignore=shutil.ignore_patterns("examples"))
        manifest = re.sub(r"\[\[example\]\]\nname.*\npath.*\n", "", (folder / "Cargo.toml").read_text())
        # Not a part of the workspace whose target folder it lies in.
        (folder / "Cargo.toml").write_text(f"{manifest}\n[workspace]\n")
        for name, (old, new) in PATCHES.items():
            file = folder / "tests" / f"{name}.rs"
            assert old in file.read_text(), f"{file} has no {old}"
            file.write_text(file.read_text().replace(old, new))
    unknown = {file.stem for file in (folder / "tests").glob("*.rs")} - {*FILES, *SKIPPED_FILES, "utils"}
    assert not unknown, f"not known here: {unknown}"
    command = ["cargo", "test", "--no-run", "--message-format=json", *(word for name in FILES for word in ("--test", name))]
    built = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, env=dict(os.environ, CARGO_TARGET_DIR=str(folder / "target")))
    messages = map(json.loads, built.stdout.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def main():
    programs = build()
    folder = Path(tempfile.mkdtemp(prefix="floe-rdkafka-"))
    broker, address = run.start_broker(folder, OPTIONS)
    skips = [word for name in SKIPS for word in ("--skip", name)]
    passed, failed, listed = 0, 0, set()
    try:
        for name in FILES:
            environment = dict(os.environ, KAFKA_HOST=address, KAFKA_VERSION=VERSION, RUST_LOG="off")
            listing = subprocess.run([programs[name], "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
            listed |= {line.removesuffix(": test") for line in listing.splitlines() if line.endswith(": test")}
            command = [programs[name], "--test-threads=4", *skips]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
            text = done.stdout.decode(errors="replace")
            states = [state for _, state in RESULT.findall(text)]
            good = done.returncode == 0 and states and all(state == "ok" for state in states)
            passed, failed = passed + states.count("ok"), failed + (not good)
            print(f"{'ok    ' if good else 'FAILED'} {name}: {states.count('ok')} of {len(states)}", flush=True)
            if not good:
                print("\n".join("    " + line for line in text.splitlines()[-80:]), flush=True)
        for name in set(SKIPS) - listed:
            print(f"FAILED SKIPS has {name}, which is no test")
            failed += 1
        code = run.stop_broker(broker)
        if code != 0:
            print(f"FAILED the broker ended with {code}: {folder / 'broker.log'}")
            failed += 1
    finally:
        broker.kill()
        broker.wait()
    if not failed:
        shutil.rmtree(folder)
    skipped = len(SKIPS) + len(SKIPPED_FILES)
    print(f"test result: {'FAILED' if failed else 'ok'}. the crate rdkafka: {passed} passed; {failed} failed; {skipped} listed as skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""librdkafka's own broker tests against Floe: python3 tests/clients/librdkafka/suite.py [NUMBER | NUMBER/SUBTEST ...]

The source is that of the crate rdkafka-sys, which cargo has from its registry; it is copied to target/ and built there once, with the
library that cargo has built for the tests in Rust, if it has. Every test runs in a process of its own, several at a time, against one
broker on a directory and one on an S3 server (SeaweedFS), if that is here.
Without --full (or FLOE_TEST_FULL=1) only QUICK runs; with numbers, only those. What does not run is in SKIPS
with its reason: a test that skips itself and is not there fails the suite, and so does one that is there and would run.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import run  # noqa: E402
import stores  # noqa: E402

CRATE = "rdkafka-sys"
CONFIGURE = ["--disable-sasl", "--disable-ssl", "--disable-curl", "--disable-optimization"]
# What tests are told the broker is.
VERSION = "4.1.0"
# As tests are meant to be run: see tests/scenarios in the source.
OPTIONS = ["num.partitions=4", "group.initial.rebalance.delay.ms=500", "group.min.session.timeout.ms=1000"]
SCENARIOS = {"default": [], "noautocreate": ["auto.create.topics.enable=false"]}
# Tests wait most of their time. All of them together are more than two cores keep in time.
AT_ONCE = {False: 10, True: 4}
LIMIT = {False: 150, True: 600}

# Told another version, because with 4.1.0 it asks for kafka-acls.sh.
VERSIONS = {"0109": "2.0.0"}

TRANSACTIONS = "transactions are not served yet"
SECURITY = "needs TLS or SASL, which is not served yet"
AUTHORIZER = "needs an authorizer, which is not there yet"
KNOWN = "librdkafka itself calls it a known issue, and runs it only when asked to"
LOCAL = "needs no broker"
LOCAL_0113 = [
    "a_assign_rapid",
    "p_lost_partitions_heartbeat_illegal_generation_test",
    "q_lost_partitions_illegal_generation_test",
    "r_lost_partitions_commit_illegal_generation_test_local",
    "s_no_segfault_before_first_rebalance",
    "t_consumer_group_consumer_retry_commit_on_fenced_member_epoch",
]
# By number, test, or number/subtest.
SKIPS = {
    "0028": KNOWN,
    "0047": KNOWN,
    "0092": "writes message format 1, which Kafka 4 does not take; it skips itself",
    "0097": SECURITY,
    "0098": TRANSACTIONS,
    "0101": "needs brokers in several racks; it skips itself",
    "0103": TRANSACTIONS,
    "0115": SECURITY,
    "0119": SECURITY,
    "0126": SECURITY,
    "0129": TRANSACTIONS,
    "0135": SECURITY,
    "0142": SECURITY,
    "0053": "checks statistics against a schema beside the source, and tests run in folders of their own here",
    "0055": "measures milliseconds on a machine of its own, and needs transactions",
    "0081/do_test_CreateAcls": AUTHORIZER,
    "0081/do_test_DescribeAcls": AUTHORIZER,
    "0081/do_test_DeleteAcls": AUTHORIZER,
    "0081/do_test_DescribeConsumerGroups_with_authorized_ops": AUTHORIZER,
    "0081/do_test_AlterConfigs": "alters a setting of Kerberos",
    "0081/do_test_IncrementalAlterConfigs": "alters settings of Kerberos and of groups of the new protocol",
    "0081/do_test_DescribeConfigs_groups": "groups of the new protocol have settings; they are not served yet",
    "0081/do_test_DeleteRecords": "deletes within 0 ms; Floe answers when the new log start is in the store, and says that the time is over",
    **{f"0113/{subtest}": LOCAL for subtest in LOCAL_0113},
    "0137/do_test_consume_batch_control_msgs": TRANSACTIONS,
    "0139": LOCAL,
    "0150": LOCAL,
    "0153": "member ids of the new protocol; it skips itself",
    "0113/o_java_interop": "needs Apache Kafka's Java client and its run-class script",
}
if not Path("/usr/include/rapidjson/document.h").exists():
    SKIPS.update({number: "rapidjson-dev is not here" for number in ["0110"]})
# Of these only the subtests that say so in their names: the others need transactions.
PARTS = {"0061": "without transactions"}
# Run by themselves when the others are done: they measure time; 0033 matches by a pattern what it has deleted, and among others such
# a topic was once made again a second later (auto.create.topics.enable: whoever still knows it may ask for it).
ALONE = {"0033", "0038", "0127"}
# Representative, and not slow: each kind of request, groups of both protocols, administration, connections that break. What takes
# longest is first, so that nothing long is left alone at the end; without numbers that wait for metadata again and again.
QUICK = """0081/do_test_DescribeConsumerGroups 0107 0081/do_test_ListConsumerGroups 0050 0113/x_incremental_rebalances 0030
    0081/do_test_CreateTopics 0081/do_test_ListConsumerGroupOffsets 0069 0049 0081/do_test_DeleteGroups 0051 0018 0015 0111 0033 0061
    0081/do_test_DescribeTopics 0081/do_test_DeleteConsumerGroupOffsets 0081/do_test_AlterConsumerGroupOffsets 0109
    0113/l_unsubscribe 0118 0110 0083 0017 0132 0086 0059 0052 0019 0041 0014 0112 0081/do_test_DeleteTopics 0067 0081/do_test_ListOffsets
    0113/k_add_partition 0090 0040 0113/f_assign_call_cooperative 0081/do_test_CreatePartitions 0085 0056 0029 0140 0130 0099 0073 0070
    0065 0064 0063 0057 0054 0048 0044 0034 0031 0022 0021 0013 0012 0011 0008 0007 0005 0003 0002 0001
    0081/do_test_DescribeConfigs 0081/do_test_DescribeCluster 0081/do_test_unclean_destroy""".split()
QUICK_S3 = "0081/do_test_CreateTopics 0014 0081/do_test_DeleteTopics 0090 0081/do_test_CreatePartitions 0130 0099 0012 0011".split()

ANSI = re.compile(r"\x1b\[[0-9;]*m")
TEST = re.compile(r"_TEST\((\w+),\s*([A-Z0-9_|\s]+?)(?:,|\))(.*?)(?=\b_TEST\(|\Z)", re.S)
SUMMARY = re.compile(r"^\|\s*(\d{4}_\w+)\s*\|\s*(\w+)\s*\|\s*([\d.]+)s\s*\|\s*(.*)$")
FUNCTION = re.compile(r"^(?:static\s+)?\w[\w *]*?\s+\**(\w+)\s*\([^;{}]*\)\s*\{", re.M)
SUBTEST = re.compile(r"\bSUB_TEST(?:_QUICK)?0?\(")
SUBTEST_RUN = re.compile(r"\[ (\w+):\d+")
SUBTEST_SKIP = re.compile(r"\[ (\w+):\d+.*: SKIP: (.*)")


class Test:
    def __init__(self, name, flags, scenario):
        self.name, self.number, self.scenario = name, name[:4], scenario
        self.is_local = "LOCAL" in flags
        self.is_manual = "MANUAL" in flags


def built_by_cargo(crate):
    """Where cargo has built the library for the tests in Rust, if it has."""
    source = (Path(crate["manifest_path"]).parent / "librdkafka" / "src" / "rdkafka.h").read_bytes()
    found = run.TARGET.glob(f"debug/build/{CRATE}-*/out/src/librdkafka.a")
    same = [library.parents[1] for library in found if (library.parent / "rdkafka.h").read_bytes() == source]
    return max((folder for folder in same if (folder / "src-cpp" / "librdkafka++.a").exists()), key=os.path.getmtime, default=None)


def build():
    """The folder with test-runner in it."""
    found = subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1"], cwd=HERE, stdout=subprocess.PIPE, check=True)
    [crate] = [package for package in json.loads(found.stdout)["packages"] if package["name"] == CRATE]
    folder = run.TARGET / "librdkafka" / crate["version"]
    stamp, wanted = folder / "built", " ".join([*CONFIGURE, "without" if "0110" in SKIPS else "with", "rapidjson"])
    if not stamp.exists() or stamp.read_text() != wanted:
        library = built_by_cargo(crate)
        print(f"building librdkafka's tests, {crate['version']}, {'on the library that is there' if library else 'and the library'}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(library or Path(crate["manifest_path"]).parent / "librdkafka", folder)
        commands = [["make", "-j2", "-C", "tests", "test-runner"]]
        if library:
            for_tests(folder)
        else:
            commands = [["./configure", *CONFIGURE], ["make", "-j2", "libs"], *commands]
        with open(folder / "build.log", "w") as log:
            for command in commands:
                if subprocess.run(command, cwd=folder, stdout=log, stderr=log).returncode != 0:
                    log.flush()
                    sys.exit(f"{' '.join(command)} failed: {folder / 'build.log'}\n{(folder / 'build.log').read_text()[-3000:]}")
        stamp.write_text(wanted)
    return folder / "tests"


def for_tests(folder):
    """What the library was configured with, less what makes compiling slow; tests also use what may have been installed since."""
    makefile, header = folder / "Makefile.config", folder / "config.h"
    makefile.write_text(re.sub(r"(?m)^(CPPFLAGS\+=.*)-g -O\d", r"\1-O0", makefile.read_text()))
    if "0110" not in SKIPS and "WITH_RAPIDJSON 1" not in header.read_text():
        header.write_text(f"{header.read_text()}\n#define WITH_RAPIDJSON 1\n")


def declared(tests):
    """All tests that librdkafka has."""
    source = (tests / "test.c").read_text()
    table = source[source.index("struct test tests[] = {") :]
    table = table[: table.index("{NULL}")] if "{NULL}" in table else table[: table.index("\n};")]
    all_tests = []
    for name, flags, rest in TEST.findall(table):
        scenario = re.search(r'\.scenario\s*=\s*"([\w,]+)"', rest)
        all_tests.append(Test(name, flags, scenario.group(1) if scenario else "default"))
    return all_tests


def subtests(tests, number):
    """Names of the functions that are subtests."""
    [file] = tests.glob(f"{number}-*.c*")
    source = file.read_text()
    functions = [(found.start(), found.group(1)) for found in FUNCTION.finditer(source)]
    inside = [max(f for f in functions if f[0] < found.start()) for found in SUBTEST.finditer(source)]
    return list(dict.fromkeys(name for _, name in inside))


class Unit:
    """One process: the tests of a number in a scenario, or one subtest of theirs."""

    def __init__(self, number, scenario, names, subtest=None):
        self.number, self.scenario, self.names, self.subtest = number, scenario, names, subtest

    def __str__(self):
        return self.number + (f" {self.scenario}" if self.scenario != "default" else "") + (f" {self.subtest}" if self.subtest else "")


def plan(tests, wanted):
    """What is to be run; and every skip that stands for nothing, with why."""
    units, used = [], set()
    by_unit = {}
    for test in declared(tests):
        if test.is_local or test.is_manual:
            continue
        if test.number in SKIPS or test.name in SKIPS:
            used.add(test.number if test.number in SKIPS else test.name)
            continue
        for scenario in SCENARIOS:
            if scenario in test.scenario:
                by_unit.setdefault((test.number, scenario), []).append(test.name)
    for (number, scenario), names in sorted(by_unit.items()):
        if wanted and not any(name.startswith(number) for name in wanted):
            continue
        split = [key for key in SKIPS if key.startswith(f"{number}/")]
        if not split:
            units.append(Unit(number, scenario, names))
            continue
        for subtest in subtests(tests, number):
            key = f"{number}/{subtest}"
            if key not in SKIPS and (not wanted or number in wanted or key in wanted):
                units.append(Unit(number, scenario, names, subtest))
    for key in SKIPS:
        number, _, subtest = key.partition("/")
        if subtest and subtest in subtests(tests, number):
            used.add(key)
    # In the order in which they are asked for.
    place = {name: at for at, name in reversed(list(enumerate(wanted)))}
    units.sort(key=lambda unit: place.get(unit.number, place.get(f"{unit.number}/{unit.subtest}", 0)))
    stale = [f"SKIPS has {key}, which is no test" for key in SKIPS if key not in used]
    return units, stale


def execute(tests, unit, bootstrap, full, folder):
    """Why it failed, or nothing; and what it printed."""
    place = Path(tempfile.mkdtemp(prefix=f"{unit.number}-", dir=folder))
    conf = place / "test.conf"
    # Names of topics must differ between processes, and a broker of one's own on two cores is slower than a cluster.
    conf.write_text(f"bootstrap.servers={bootstrap}\ntest.topic.random=true\ntest.timeout.multiplier=2\n")
    environment = dict(
        os.environ,
        TESTS=unit.number,
        TEST_KAFKA_VERSION=VERSIONS.get(unit.number, VERSION),
        TEST_SCENARIO=unit.scenario,
        RDKAFKA_TEST_CONF=str(conf),
        BROKERS=bootstrap,
        KAFKA_PATH=str(HERE),
        LD_LIBRARY_PATH=f"{tests.parent / 'src'}:{tests.parent / 'src-cpp'}",
    )
    environment.setdefault("FLOE_TEST_BROKER", str(run.TARGET / "debug" / "floe"))
    if unit.subtest or unit.number in PARTS:
        environment["SUBTESTS"] = PARTS.get(unit.number, f"{unit.subtest}:")
    # Never in its quick mode, in which most of its parts silently do nothing.
    command = [tests / "test-runner", "-L", "-p1"]
    log = place / "output"
    with open(log, "wb") as output:
        try:
            code = subprocess.run(command, cwd=place, env=environment, stdout=output, stderr=output, timeout=LIMIT[full]).returncode
        except subprocess.TimeoutExpired:
            code = f"not done in {LIMIT[full]} s"
    text = ANSI.sub("", log.read_text(errors="replace"))
    return judge(unit, code, text), text


def judge(unit, code, text):
    states = {name: (state, why) for name, state, _, why in (m.groups() for m in map(SUMMARY.match, text.splitlines()) if m)}
    problems = [] if code == 0 else [f"exit code {code}" if isinstance(code, int) else code]
    for name in unit.names:
        state, why = states.get(name, ("not run", ""))
        if state != "PASSED":
            problems.append(f"{name}: {state} {why}".strip())
    if unit.subtest and unit.subtest not in SUBTEST_RUN.findall(text):
        problems.append(f"{unit.subtest} did not run")
    for subtest, why in SUBTEST_SKIP.findall(text):
        problems.append(f"{subtest} skipped itself: {why}")
    return problems


def suite(tests, wanted, full, kind, store):
    """Runs it on a kind of store. Numbers of units that passed and failed."""
    folder = Path(tempfile.mkdtemp(prefix="floe-librdkafka-"))
    units, stale = plan(tests, wanted)
    for problem in stale:
        print(f"FAILED {problem}")
    began, passed, failed = time.monotonic(), 0, len(stale)
    brokers = {}
    with store(folder) as options:
        try:
            for scenario in {unit.scenario for unit in units}:
                (folder / scenario).mkdir()
                brokers[scenario] = run.start_broker(folder / scenario, OPTIONS + SCENARIOS[scenario], options(scenario))

            def one(unit):
                start = time.monotonic()
                problems, text = execute(tests, unit, brokers[unit.scenario][1], full, folder)
                return unit, problems, text, time.monotonic() - start

            alone = [unit for unit in units if unit.number in ALONE]
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE[full]) as pool:
                together = [pool.submit(one, unit) for unit in units if unit not in alone]
                results = (future.result() for future in concurrent.futures.as_completed(together))
                for unit, problems, text, took in itertools.chain(results, map(one, alone)):
                    passed, failed = passed + (not problems), failed + bool(problems)
                    print(f"{'FAILED' if problems else 'ok    '} {unit} {took:.1f} s: {'; '.join(problems)}", flush=True)
                    if problems:
                        print("\n".join("    " + line for line in text.splitlines()[-60:]), flush=True)
            for scenario, (broker, _) in brokers.items():
                code = run.stop_broker(broker)
                if code != 0:
                    print(f"FAILED the broker ended with {code}: {folder / scenario / 'broker.log'}")
                    failed += 1
        finally:
            for broker, _ in brokers.values():
                broker.kill()
                broker.wait()
    if failed:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    where, took = f"{kind}{'' if full else ', quick'}", time.monotonic() - began
    counts = f"{passed} passed; {failed} failed; {len(SKIPS)} listed as skipped"
    print(f"test result: {'FAILED' if failed else 'ok'}. librdkafka on {where}: {counts}; {took:.0f} s", flush=True)
    return failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--full", action="store_true", default=bool(os.environ.get("FLOE_TEST_FULL")))
    arguments.add_argument("--store", choices=["directory", "s3"], help="only on this")
    arguments.add_argument("--skips", action="store_true", help="print what is not run, with reasons, and end")
    arguments.add_argument("numbers", nargs="*", metavar="NUMBER")
    given = arguments.parse_args()
    if given.skips:
        print("\n".join(f"{name:20} {why}" for name, why in sorted(SKIPS.items())))
        return
    tests = build()
    failed = 0
    for kind, store, quick in [("directory", stores.directory, QUICK), ("s3", stores.s3, QUICK_S3)]:
        if given.store in (None, kind):
            wanted = given.numbers or ([] if given.full else quick)
            try:
                failed += suite(tests, wanted, given.full, kind, store)
            except run.Skip as reason:
                print(f"SKIP   librdkafka on {kind}: {reason}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

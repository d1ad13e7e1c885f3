#!/usr/bin/env python3
"""What clients see while their broker is killed and started again: python3 tests/clients/restarts/suite.py [FAMILY ...]

For each family of clients three idempotent producers and five consumers of one group, with the client's default settings, and a broker that
is killed by SIGKILL again and again. Nothing that was acknowledged may be lost, nothing may be there twice, and the group sees everything.
What the applications are told is counted. With --full (or FLOE_TEST_FULL=1) there are ten restarts instead of two, and the same is done to
Apache Kafka: no client may be told of more errors by Floe than by Kafka. librdkafka's applications are never told of any.
"""

import argparse
import collections
import concurrent.futures
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import run  # noqa: E402
import stores  # noqa: E402
import worker  # noqa: E402

ROUNDS = {False: 2, True: 10}
# Acknowledged and read between two restarts.
MORE = 200
PATIENCE = 120
# Each family has nine processes' worth of work and a broker.
AT_ONCE = {False: 2, True: 1}
OPTIONS = ["group.initial.rebalance.delay.ms=100"]
KAFKA = "4.1.1"


def families():
    """Commands by name; those that cannot run here are left out and said."""
    python = run.environment_of(run.VENV, run.PYTHON)
    yield "librdkafka", lambda: [python, HERE / "worker_confluent_kafka.py"]
    yield "aiokafka", lambda: [python, HERE / "worker_aiokafka.py"]
    yield "kafkajs", lambda: [run.node_modules(), run.NODE / "worker_kafkajs.mjs"]
    yield "kafka-clients", lambda: run.java_command(run.java_library(), "Restarts")


class Floe:
    name = "floe"

    def __init__(self, folder):
        self.folder, self.address = folder, f"127.0.0.1:{stores.free_port()}"

    copies = 1

    def start(self):
        self.process, _ = run.start_broker(self.folder, OPTIONS, listen=self.address)

    def restart(self, _round):
        kill(self.process)
        self.start()

    def stop(self):
        kill(self.process)

    def log(self):
        return "\n".join((self.folder / "broker.log").read_text().splitlines()[-30:])


def kill(process):
    process.kill()
    process.wait()


class Kafka:
    """Apache Kafka, one node, its default settings but for those that one node needs."""

    name = "kafka"

    def __init__(self, folder):
        self.folder, self.address = folder, f"127.0.0.1:{stores.free_port()}"
        controller = f"127.0.0.1:{stores.free_port()}"
        (folder / "log4j2.xml").write_text('<Configuration><Loggers><Root level="OFF"/></Loggers></Configuration>\n')
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": folder / "kafka",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            **dict(option.split("=") for option in OPTIONS),
        }
        (folder / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        self.java = ["java", f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-Xmx512m", "-cp", f"{kafka_library()}/*"]
        run.quiet([*self.java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", folder / "server.properties"], "format")

    def start(self):
        log = open(self.folder / "broker.log", "a")
        self.process = subprocess.Popen([*self.java, "kafka.Kafka", self.folder / "server.properties"], stdout=log, stderr=log)
        host, port = self.address.split(":")
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("Kafka does not listen")

    copies = 1

    def restart(self, _round):
        kill(self.process)
        self.start()

    def stop(self):
        kill(self.process)

    def log(self):
        return (self.folder / "broker.log").read_text()[-3000:]


def kafka_library():
    run.need("java", "mvn")
    folder = run.TARGET / "java-kafka"
    if not list(folder.glob("libs/kafka_2.13-*.jar")):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "kafka.xml", folder / "pom.xml")
        command = ["mvn", "-q", "-B", "-f", folder / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'libs'}"]
        run.quiet([*command, "-DincludeScope=runtime", f"-Dkafka.version={KAFKA}"], "mvn", timeout=600)
    return folder / "libs"


class Worker:
    """A family's process, and what it has said so far."""

    def __init__(self, command, bootstrap, topic):
        environment = dict(os.environ, FLOE_BOOTSTRAP=bootstrap, FLOE_TOPIC=topic)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([str(word) for word in command], text=True, env=environment, **pipes)
        self.acknowledged, self.read, self.produced = {}, set(), False
        self.errors, self.notes = collections.Counter(), collections.Counter()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            word, *rest = line.rstrip("\n").split(" ", 2)
            if word == "ack":
                value, place = rest
                self.acknowledged[value] = tuple(map(int, place.split()))
            elif word == "read":
                value, place = rest
                self.read.add((value, *map(int, place.split())))
            elif word == "produced":
                self.produced = True
            else:
                (self.errors if word == "error" else self.notes)[" ".join(rest)[:200]] += 1

    def until(self, what, done):
        began = time.monotonic()
        while not done():
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}; errors: {dict(self.errors)}"
            known = f"{len(self.acknowledged)} acknowledged, {len(self.read)} read, errors {dict(self.errors)}, notes {dict(self.notes)}"
            assert time.monotonic() - began < PATIENCE, f"not in {PATIENCE} s: {what}; {known}"
            time.sleep(0.05)

    def goes_on(self):
        acknowledged, read = len(self.acknowledged) + MORE, len(self.read) + MORE
        self.until("more is acknowledged and read", lambda: len(self.acknowledged) >= acknowledged and len(self.read) >= read)

    def finish(self):
        self.process.stdin.close()
        self.until("producers end", lambda: self.produced)
        acknowledged = {(value, *place) for value, place in self.acknowledged.items()}
        self.until("the group has read all", lambda: acknowledged <= self.read)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) in (0, 143), f"the worker ended with {self.process.returncode}"
        self.listener.join()


# Runs in the tests' own Python: prints each record's partition, offset and value.
READ_ALL = """
import sys, confluent_kafka as ck
bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": "reads-all", "auto.offset.reset": "error", "enable.auto.commit": False})
ends = {p: consumer.get_watermark_offsets(ck.TopicPartition(topic, p), timeout=60)[1] for p in range(partitions)}
consumer.assign([ck.TopicPartition(topic, p, 0) for p in ends])
ends = {p: end for p, end in ends.items() if end}
while ends:
    message = consumer.poll(60)
    if message is None:
        sys.exit(f"nothing more, before {ends}")
    if message.error():
        continue
    print(message.partition(), message.offset(), message.value().decode())
    if message.offset() + 1 >= ends.get(message.partition(), 1 << 60):
        del ends[message.partition()]
"""
CREATE = """
import sys
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
admin.create_topics([NewTopic(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))])[sys.argv[2]].result(60)
"""


def with_python(script, *arguments):
    command = [run.environment_of(run.VENV, run.PYTHON), "-c", script, *map(str, arguments)]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(worker_, stored):
    """Nothing lost, nothing doubled."""
    places = collections.defaultdict(list)
    for line in stored.splitlines():
        partition, offset, value = line.split()
        places[value].append((int(partition), int(offset)))
    doubled = {value: at for value, at in places.items() if len(at) > 1}
    assert not doubled, f"{len(doubled)} records are there twice: {list(doubled.items())[:5]}"
    lost = {value: at for value, at in worker_.acknowledged.items() if places[value] != [at]}
    assert not lost, f"{len(lost)} acknowledged records are lost: {list(lost.items())[:5]}"


def one(family, command, kind, rounds):
    """Restarts a broker `rounds` times under a family. What its applications were told."""
    folder = Path(tempfile.mkdtemp(prefix=f"floe-restarts-{family}-"))
    broker, topic = kind(folder), f"restarts-{family}"
    worker_, passed = None, False
    try:
        broker.start()
        with_python(CREATE, broker.address, topic, worker.PARTITIONS, broker.copies)
        worker_ = Worker(command, broker.address, topic)
        for round_ in range(rounds):
            worker_.goes_on()
            broker.restart(round_)
        worker_.goes_on()
        worker_.finish()
        check(worker_, with_python(READ_ALL, broker.address, topic, worker.PARTITIONS))
        passed = True
        return worker_
    except BaseException:
        print(f"--- {broker.name}'s log\n{broker.log()}", flush=True)
        raise
    finally:
        broker.stop()
        if worker_:
            kill(worker_.process)
        # Not before: a running broker writes there.
        if passed:
            shutil.rmtree(folder)


def family_on_all(family, command, full, kinds=None):
    """Whether it is as it should be."""
    began, kinds = time.monotonic(), kinds or [Floe, Kafka]
    try:
        told = {kind.name: one(family, command, kind, ROUNDS[full]) for kind in kinds[: 2 if full else 1]}
    except Exception as problem:
        print(f"FAILED {family}: {type(problem).__name__}: {problem}", flush=True)
        return False
    floe, kafka = told["floe"], told.get("kafka")
    most = 0 if family == "librdkafka" or not kafka else sum(kafka.errors.values())
    good = sum(floe.errors.values()) <= most
    for name, worker_ in told.items():
        counts = f"{len(worker_.acknowledged)} acknowledged, {len(worker_.read)} read"
        seen = f"{sum(worker_.errors.values())} errors, {sum(worker_.notes.values())} notes"
        print(f"       {family} on {name}, {ROUNDS[full]} restarts: {counts}, {seen}", flush=True)
        for kind, counter in [("error", worker_.errors), ("note", worker_.notes)]:
            for text, count in counter.most_common(8):
                print(f"           {count} x {kind} {text}", flush=True)
    print(f"{'ok    ' if good else 'FAILED'} {family} {time.monotonic() - began:.1f} s", flush=True)
    return good


def main(about=__doc__, kinds=None):
    arguments = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--full", action="store_true", default=bool(os.environ.get("FLOE_TEST_FULL")))
    arguments.add_argument("families", nargs="*", metavar="FAMILY")
    given = arguments.parse_args()
    skipped, running = 0, []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE[given.full]) as pool:
        for family, command in families():
            if given.families and family not in given.families:
                continue
            try:
                running.append(pool.submit(family_on_all, family, command(), given.full, kinds))
            except run.Skip as reason:
                print(f"SKIP   {family}: {reason}", flush=True)
                skipped += 1
    results = [one.result() for one in running]
    passed, failed = results.count(True), results.count(False)
    print(f"test result: {'FAILED' if failed else 'ok'}. restarts: {passed} passed; {failed} failed; {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

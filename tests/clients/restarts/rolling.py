#!/usr/bin/env python3
"""What clients see while three brokers are drained and started again, one after the other: python3 tests/clients/restarts/rolling.py [FAMILY ...]

As suite.py, on a cluster of three: each restart is a SIGTERM, the end of the process, and a start. With --full (or FLOE_TEST_FULL=1) there are
ten restarts instead of two, and the same is done to three nodes of Apache Kafka with three copies: no client may be told of more errors by
Floe than by Kafka. librdkafka's applications are never told of any.
"""

import shutil
import signal
import socket
import subprocess
import time

import suite
from suite import run, stores

BROKERS = 3


class FloeCluster:
    name, copies = "floe", 1

    def __init__(self, folder):
        self.folder, self.etcd, self.processes = folder, None, [None] * BROKERS
        self.addresses = [f"127.0.0.1:{stores.free_port()}" for _ in range(BROKERS)]
        self.address = ",".join(self.addresses)
        self.url, peer = (f"http://127.0.0.1:{stores.free_port()}" for _ in range(2))
        urls = ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        urls += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self.command = ["etcd", "--data-dir", folder / "etcd", *urls]

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.etcd = subprocess.Popen([str(word) for word in self.command], **quiet)
        listens(self.url.removeprefix("http://"))
        for at in range(BROKERS):
            self.start_one(at)

    def start_one(self, at):
        place = self.folder / f"broker-{at + 1}"
        place.mkdir(exist_ok=True)
        more = ["--store", f"file://{self.folder / 'store'}", "--etcd", self.url, "--broker-id", at + 1]
        self.processes[at], _ = run.start_broker(place, suite.OPTIONS, store=more, listen=self.addresses[at])

    def restart(self, round_):
        at = round_ % BROKERS
        assert run.stop_broker(self.processes[at]) == 0, "a drain"
        self.start_one(at)

    def stop(self):
        for process in [*self.processes, self.etcd]:
            if process:
                suite.kill(process)

    def log(self):
        logs = sorted(self.folder.glob("broker-*/broker.log"))
        return "\n".join(line for log in logs for line in [str(log), *log.read_text().splitlines()[-15:]])


class KafkaCluster:
    """Apache Kafka, three nodes that are brokers and controllers, its default settings but for those that three nodes need."""

    name, copies = "kafka", 3

    def __init__(self, folder):
        self.folder, self.processes = folder, [None] * BROKERS
        self.addresses = [f"127.0.0.1:{stores.free_port()}" for _ in range(BROKERS)]
        self.address = ",".join(self.addresses)
        controllers = [f"127.0.0.1:{stores.free_port()}" for _ in range(BROKERS)]
        (folder / "log4j2.xml").write_text('<Configuration><Loggers><Root level="OFF"/></Loggers></Configuration>\n')
        self.java = ["java", f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", "-Xmx512m", "-cp", f"{suite.kafka_library()}/*"]
        for at in range(BROKERS):
            properties = {
                "process.roles": "broker,controller",
                "node.id": at + 1,
                "controller.quorum.voters": ",".join(f"{n + 1}@{address}" for n, address in enumerate(controllers)),
                "listeners": f"PLAINTEXT://{self.addresses[at]},CONTROLLER://{controllers[at]}",
                "advertised.listeners": f"PLAINTEXT://{self.addresses[at]}",
                "controller.listener.names": "CONTROLLER",
                "log.dirs": folder / f"kafka-{at + 1}",
                "offsets.topic.replication.factor": 3,
                **dict(option.split("=") for option in suite.OPTIONS),
            }
            file = folder / f"server-{at + 1}.properties"
            file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
            run.quiet([*self.java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", file], "format")

    def start(self):
        for at in range(BROKERS):
            self.launch(at)
        for address in self.addresses:
            listens(address)

    def launch(self, at):
        log = open(self.folder / "broker.log", "a")
        command = [*self.java, "kafka.Kafka", self.folder / f"server-{at + 1}.properties"]
        self.processes[at] = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)

    def restart(self, round_):
        at = round_ % BROKERS
        self.processes[at].send_signal(signal.SIGTERM)
        self.processes[at].wait(suite.PATIENCE)
        self.launch(at)
        listens(self.addresses[at])

    def stop(self):
        for process in filter(None, self.processes):
            suite.kill(process)

    def log(self):
        return (self.folder / "broker.log").read_text()[-3000:]


def listens(address):
    host, port = address.split(":")
    began = time.monotonic()
    while time.monotonic() - began < suite.PATIENCE:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens at {address}")


if __name__ == "__main__":
    if shutil.which("etcd"):
        suite.main(__doc__, [FloeCluster, KafkaCluster])
    print("SKIP   rolling restarts: no etcd: apt-get install etcd-server")

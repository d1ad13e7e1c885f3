#!/usr/bin/env python3
"""localstack/: python3 tests/deploy/demo/suite.py [CHECK…]; without names all that are quick, with FLOE_TEST_FULL=1 all.

Quick: what demo.py refuses before it starts anything, and the compose file: its own words, and each broker's settings given to a broker. Full: the
demo's life, and that `down` leaves nothing of it, also where `up` or the cluster was killed, or could not start; the compose file read by Compose's own
parser.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE.parent / "terraform"), str(HERE.parent), str(ROOT / "tests" / "clients")]

import built
import checks
import emulators
import tf
from run import Skip, need, program

FULL = os.environ.get("FLOE_TEST_FULL") == "1"
DEMO = ROOT / "localstack" / "demo.py"
COMPOSE = ROOT / "localstack" / "compose.yaml"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
LIMIT = 300


class Demo:
    """demo.py with a folder of its own, and free ports."""

    def __init__(self, folder):
        self.at = folder / "demo"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOE")} | {"FLOE": str(program())}

    def offline(self, folder):
        """Where the provider comes from a folder of this machine."""
        self.environment["TF_CLI_CONFIG_FILE"] = str(tf.mirrored(folder))
        return self

    def command(self, what):
        return [sys.executable, DEMO, what, "--dir", self.at, "--port", "0", "--localstack-port", "0"]

    def run(self, what, **environment):
        command = [str(word) for word in self.command(what)]
        return subprocess.run(command, env=self.environment | environment, capture_output=True, text=True, timeout=LIMIT)

    def good(self, what):
        done = self.run(what)
        assert done.returncode == 0, f"{what}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, what, word, **environment):
        done = self.run(what, **environment)
        assert done.returncode == 1 and word in done.stderr, f"{what} was not refused with '{word}': {done.returncode}\n{done.stdout}\n{done.stderr}"

    def processes(self):
        """By the mark that each bears, and by the folder, which is in the command line of most; looked for here in another way than the demo does."""
        listed = subprocess.run(["ps", "eww", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if f"{self.at}" in line]

    def is_gone(self):
        left = self.processes()
        assert not left, "still there: " + "\n".join(line[:200] for line in left)
        assert not self.at.exists(), list(self.at.iterdir())


def refusals(folder):
    demo = Demo(folder)
    assert "nothing runs" in demo.good("down")
    demo.refused("status", "nothing runs")
    demo.refused("up", "etcd is not here", PATH=str(folder))
    demo.at.mkdir()
    (demo.at / "letter").write_text("mine")
    for name in ["etcd", "terraform"]:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    demo.refused("up", "holds something else", PATH=str(folder))
    demo.good("down")
    assert (demo.at / "letter").read_text() == "mine"
    return "no etcd, another's folder, nothing to end"


def life(folder):
    need("kcat")
    demo = ready(folder)
    began = time.monotonic()
    said = demo.good("up")
    took = time.monotonic() - began
    try:
        state = json.loads((demo.at / "demo.json").read_text())
        three(said)
        three(demo.good("status"))
        demo.refused("up", "it runs already")
        more(state)
        pages(state)
    finally:
        done = demo.run("down")
    assert done.returncode == 0 and "has ended" in done.stdout, done.stdout + done.stderr
    demo.is_gone()
    assert "nothing runs" in demo.good("down")
    return f"up after {took:.1f} s, three brokers, nothing left"


def three(said):
    """What `floe cluster status` says of them, and that everything is led."""
    brokers = [line for line in said.splitlines() if re.match(r"\s*[123]\s.*\sopen\s+127\.0\.0\.1:", line)]
    assert len(brokers) == 3 and "no leader" not in said, said
    counts = re.search(r"has read (\d+) records", said)
    assert counts and int(counts[1]) >= 50, said


def more(state):
    """Another client's records go through the cluster, and the demo's own producer goes on."""
    kcat = ["kcat", "-b", state["bootstrap"], "-q", "-t", "letters"]
    lines = "".join(f"line {n}\n" for n in range(100))
    done = subprocess.run([*kcat, "-P"], input=lines, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*kcat, "-C", "-e"], capture_output=True, text=True, timeout=60)
    assert sorted(done.stdout.splitlines()) == sorted(lines.splitlines()), done.stdout + done.stderr
    command = [program(), "consume", "orders", "--from", "end", "--count", "30", "-b", state["bootstrap"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count("order ") == 30, done.stdout + done.stderr


def pages(state):
    assert len(state["admin"]) == 3, state
    for address in state["admin"]:
        assert emulators.answered(f"{address}/readyz"), address


def killed(folder):
    """`up` killed between its steps; then the cluster's own parent."""
    demo = ready(folder)
    for word in ["LocalStack ", "bucket "]:
        with subprocess.Popen([str(w) for w in demo.command("up")], env=demo.environment, stdout=subprocess.PIPE, text=True) as process:
            while not (line := process.stdout.readline()).startswith(word):
                assert line, f"up ended before it said '{word}'"
            process.kill()
        assert demo.processes(), "nothing was left to end"
        demo.refused("up", "it runs already, or what is left of it does")
        assert "has ended" in demo.good("down")
        demo.is_gone()
    demo.good("up")
    parents = [int(line.split()[0]) for line in demo.processes() if " dev cluster " in line]
    assert len(parents) == 1, parents
    os.kill(parents[0], signal.SIGKILL)
    assert "has ended" in demo.good("down")
    demo.is_gone()
    return "up killed twice, the cluster's parent once; nothing left"


def broken(folder):
    """A broker that does not start: what was started for it is ended, and its log is named."""
    demo = ready(folder)
    floe = folder / "floe"
    floe.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    floe.chmod(0o755)
    demo.refused("up", "no such luck", FLOE=str(floe))
    assert not demo.processes(), demo.processes()
    assert (demo.at / "cluster.log").exists()
    demo.good("down")
    demo.is_gone()
    return "all ended, the log is told"


def ready(folder):
    need("etcd", "terraform")
    emulators.installed("localstack", emulators.LOCALSTACK)
    return Demo(folder).offline(folder)


def compose(folder):
    try:
        import yaml
    except ImportError:
        raise Skip("PyYAML is not here: cargo xtask test installs it") from None
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == {"localstack", "bucket", "etcd", "broker-1", "broker-2", "broker-3", "producer", "consumer"}, set(services)
    for name, service in services.items():
        assert re.search(r":[\w.]+$", service["image"]) and not service["image"].endswith(":latest"), f"{name} is not pinned"
        unknown = set(service.get("depends_on", [])) - set(services)
        assert not unknown, f"{name} waits for {unknown}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} lets others in: {port}"
        if name.startswith("broker-"):
            taken(name, service)
    assert (ROOT / services["broker-1"]["build"]["dockerfile"]).is_file()
    return f"{len(services)} services, three brokers' settings are taken; {parsed(folder)}"


def taken(name, service):
    """The listeners that containers and this machine dial are those that are advertised."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOE")}
    done = subprocess.run([program(), *service["command"], "--dump-config"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    outside = re.search(r"outside=127\.0\.0\.1:(\d+)", done.stdout)
    assert f"inside={name}:9092" in done.stdout and outside, done.stdout[:1500]
    assert f"127.0.0.1:{outside[1]}:{outside[1]}" in service["ports"], f"{name}: {service['ports']}"


def parsed(folder):
    """By Docker, or by the parser that Docker's Compose is made with."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        command, who = ["docker", "compose", "--file", "FILE", "config", "--quiet"], "docker compose"
    else:
        try:
            command, who = [built.go("compose-go", COMPOSE_GO), "FILE"], "Compose's own parser"
        except Skip as reason:
            print(f"SKIP   the compose file by Compose's parser: docker compose is not here; {reason}", flush=True)
            return "Compose's parser is not here"
    given = lambda file: subprocess.run([str(file) if word == "FILE" else word for word in command], capture_output=True, text=True, cwd=folder)
    done = given(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = folder / "wrong.yaml"
    wrong.write_text(COMPOSE.read_text().replace("depends_on:", "depend_on:"))
    assert given(wrong).returncode != 0, f"{who} takes anything"
    return f"{who} takes it; containers were not run"


QUICK = {"refusals": refusals, "compose": compose}
LONG = {"life": life, "killed": killed, "broken": broken}


if __name__ == "__main__":
    checks.main("demo", QUICK, LONG)

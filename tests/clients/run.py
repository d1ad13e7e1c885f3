#!/usr/bin/env python3
"""Runs other people's Kafka clients against a broker: python3 tests/clients/run.py [python] [kcat] [node] [java]

Starts a broker of its own on a temporary folder, installs what the clients need into target/, runs each client's smoke script
(create a topic, every codec, keys, headers, reading by assignment, seek, look-up by time), its group script where it has one (share,
leave, crash, static restart, cooperative, commits, administration) and the calls of user interfaces where it has an admin client for
them, and ends with one summary line.
A client that cannot run here is skipped with the reason; the exit code is 1 if one failed. The broker: FLOE_TEST_BROKER, or target/debug/floe.
With FLOE_BOOTSTRAP=host:port a running broker is used instead.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"
VENV = TARGET / "venv"
NODE = TARGET / "clients" / "node"
JAVA = TARGET / "java"
LIMIT = 240
# Groups are tested with short waits.
OPTIONS = ["group.initial.rebalance.delay.ms=100", "group.min.session.timeout.ms=1000"]

# The versions that are tested; xtask installs the same Python packages.
PYTHON = {
    "aiokafka": "0.14.0",
    "confluent-kafka": "2.16.0",
    "cramjam": "2.11.0",
    "kafka-python": "3.0.12",
    "lz4": "4.4.5",
    "python-snappy": "0.7.3",
    "zstandard": "0.25.0",
}
# `node` is the runtime itself: @platformatic/kafka wants 22.22 or later, whose zlib also has zstd, which kafkajs has not.
NPM = {"@platformatic/kafka": "2.12.1", "kafkajs": "2.2.4", "kafkajs-snappy": "1.1.0", "lz4js": "0.2.0", "node": "22.23.3"}


class Skip(Exception):
    pass


def quiet(command, what, **kwargs):
    """Runs an installer; one that fails is a reason to skip."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode != 0:
        raise Skip(f"{what}: {(done.stdout.strip() or 'failed').splitlines()[-1][:200]}")


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not here")


def python():
    interpreter = VENV / "bin" / "python"
    probe = "import importlib.metadata as m, sys; sys.exit(any(m.version(p) != v for p, v in %r.items()))" % PYTHON
    if not interpreter.exists():
        quiet([sys.executable, "-m", "venv", VENV], "python3 -m venv")
    if subprocess.run([interpreter, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        pins = [f"{name}=={version}" for name, version in PYTHON.items()]
        quiet([interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins], "pip install")
    for name in ["confluent_kafka", "kafka_python", "aiokafka"]:
        yield name.replace("_", "-"), [interpreter, HERE / "python" / f"smoke_{name}.py"]
        yield name.replace("_", "-") + "-groups", [interpreter, HERE / "python" / f"groups_{name}.py"]
    yield "confluent-kafka-interfaces", [interpreter, HERE / "python" / "interfaces_confluent_kafka.py"]


def kcat():
    need("kcat")
    yield "kcat", ["bash", HERE / "kcat" / "smoke.sh"]
    yield "kcat-groups", ["bash", HERE / "kcat" / "groups.sh"]


def node():
    need("npm")
    import json

    wanted = json.dumps({"private": True, "dependencies": NPM}, indent=1)
    stamp = NODE / "installed.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text(wanted)
        quiet(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], "npm install", cwd=NODE)
        stamp.write_text(wanted)
    # Modules are looked for beside the script.
    for script in (HERE / "node").glob("*.mjs"):
        shutil.copy(script, NODE / script.name)
    runtime = NODE / "node_modules" / ".bin" / "node"
    for name in ["kafkajs", "platformatic"]:
        yield name, [runtime, NODE / f"smoke_{name}.mjs"]
    yield "kafkajs-groups", [runtime, NODE / "groups_kafkajs.mjs"]


def java():
    need("java", "mvn")
    lib = JAVA / "lib"
    if not list(lib.glob("kafka-clients-*.jar")):
        pom = HERE / "java" / "pom.xml"
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={lib}", f"-DbuildDirectory={JAVA}"]
        quiet(["mvn", "-q", "-B", "-f", pom, *copy], "mvn", timeout=600)
    yield "kafka-clients", ["java", "-cp", f"{lib}/*", HERE / "java" / "Smoke.java"]
    yield "kafka-clients-groups", ["java", "-cp", f"{lib}/*", HERE / "java" / "Groups.java"]
    yield "kafka-clients-interfaces", ["java", "-cp", f"{lib}/*", HERE / "java" / "Interfaces.java"]


SUITES = {"python": python, "kcat": kcat, "node": node, "java": java}


def program():
    """The broker's program."""
    found = Path(os.environ.get("FLOE_TEST_BROKER", TARGET / "debug" / "floe"))
    if not found.exists():
        sys.exit(f"{found} is not there: cargo build -p floe")
    return found


def start_broker(folder, options, store=()):
    """A broker that keeps all it has in `folder`, but for its store if `store` says where that is; and its address."""
    log = open(folder / "broker.log", "w")
    command = [program(), "serve", "--data", folder / "data", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *store]
    for option in options:
        command += ["-o", option]
    # The broker takes settings from the environment; what tests are told there is not for it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOE_")}
    broker = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    # A broker that does not get ready is killed, which ends the read.
    watchdog = threading.Timer(60, broker.kill)
    watchdog.start()
    line = broker.stdout.readline()
    watchdog.cancel()
    if not line.startswith("floe ready: kafka "):
        broker.kill()
        sys.exit(f"the broker did not start: {(folder / 'broker.log').read_text()}")
    return broker, line.split()[3].rstrip(",")


def stop_broker(broker):
    """Its exit code after a drain."""
    broker.send_signal(signal.SIGTERM)
    return broker.wait(timeout=90)


def run_client(name, command, bootstrap):
    began = time.monotonic()
    environment = dict(os.environ, FLOE_BOOTSTRAP=bootstrap, FLOE_TOPIC=f"smoke-{name}-{os.getpid()}")
    try:
        command = [str(c) for c in command]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        good, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as late:
        good, output = False, f"{(late.stdout or b'').decode()}\nnot done in {LIMIT} s"
    lines = output.strip().splitlines()
    print(f"{'ok    ' if good else 'FAILED'} {name} {time.monotonic() - began:.1f} s: {lines[-1] if lines else ''}", flush=True)
    if not good:
        print("\n".join("    " + line for line in lines[-60:]), flush=True)
    return good


def main():
    wanted = sys.argv[1:] or list(SUITES)
    unknown = [name for name in wanted if name not in SUITES]
    if unknown:
        sys.exit(f"no such suite: {' '.join(unknown)}; there are {' '.join(SUITES)}")
    folder = Path(tempfile.mkdtemp(prefix="floe-clients-"))
    given = os.environ.get("FLOE_BOOTSTRAP")
    broker, bootstrap = (None, given) if given else start_broker(folder, OPTIONS)
    passed = failed = skipped = 0
    try:
        for suite in wanted:
            try:
                for name, command in SUITES[suite]():
                    good = run_client(name, command, bootstrap)
                    passed, failed = passed + good, failed + (not good)
            except Skip as reason:
                print(f"SKIP   {suite}: {reason}", flush=True)
                skipped += 1
        if broker:
            code = stop_broker(broker)
            if code != 0:
                print(f"FAILED broker: it ended with {code}")
                failed += 1
    finally:
        if broker:
            broker.kill()
            broker.wait()
        if failed:
            print(f"the broker's log: {folder / 'broker.log'}")
        else:
            shutil.rmtree(folder)
    print(f"test result: {'FAILED' if failed else 'ok'}. clients {' '.join(wanted)}: {passed} passed; {failed} failed; {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

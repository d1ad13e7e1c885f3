#!/usr/bin/env python3
"""Runs other people's Kafka clients against a broker: python3 tests/clients/run.py [python] [kcat] [node] [java] [mixed]

Starts a broker of its own on a temporary folder, installs what the clients need into target/, runs each client's smoke script
(create a topic, every codec, keys, headers, reading by assignment, seek, look-up by time), its group script where it has one (share,
leave, crash, static restart, cooperative, commits, administration) and the calls of user interfaces where it has an admin client for
them, and ends with one summary line. `mixed` puts the oldest and newest versions of all of them into one group.
A client that cannot run here is skipped with the reason; the exit code is 1 if one failed. The broker: FLOE_TEST_BROKER, or target/debug/floe.
With FLOE_BOOTSTRAP=host:port a running broker is used instead.
"""

import concurrent.futures
import json
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
# Scripts wait for heartbeats and sessions most of their time.
AT_ONCE = 4
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
# Built from source, because its binaries are not in the registry: minutes, so only with FLOE_TEST_FULL, or where it is there.
CONFLUENT = ("@confluentinc/kafka-javascript", "1.10.0")
# As old as the clients that Kafka 4 still serves (KIP-896), where the registry has them for this machine.
OLD_PYTHON = {
    "3.8": {"kafka-python": "2.0.2", "aiokafka": "0.7.2", "confluent-kafka": "1.8.2"},
    "3.9": {"kafka-python": "2.0.2", "aiokafka": "0.7.2", "confluent-kafka": "1.8.2"},
    "3.10": {"kafka-python": "2.0.2", "aiokafka": "0.8.0", "confluent-kafka": "1.9.2"},
    "3.11": {"kafka-python": "2.0.2", "aiokafka": "0.8.1", "confluent-kafka": "2.0.2"},
}
# Of @platformatic/kafka the last of 1.x: before 1.20 it ends when the leader of a group gives it nothing, 1.20 reads nothing after that.
OLD_NPM = {"kafkajs-old": "npm:kafkajs@2.0.0", "platformatic-old": "npm:@platformatic/kafka@1.35.0"}
OLD_JAVA = "2.1.0"
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


def environment_of(folder, pins, interpreter=sys.executable):
    """The interpreter of a Python environment with these packages."""
    python = folder / "bin" / "python"
    probe = "import importlib.metadata as m, sys; sys.exit(any(m.version(p) != v for p, v in %r.items()))" % pins
    if not python.exists():
        quiet([interpreter, "-m", "venv", folder], f"{interpreter} -m venv")
    if subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
        wanted = [f"{name}=={version}" for name, version in pins.items()]
        quiet([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", *wanted], "pip install")
    return python


def python():
    interpreter = environment_of(VENV, PYTHON)
    for name in ["confluent_kafka", "kafka_python", "aiokafka"]:
        yield name.replace("_", "-"), [interpreter, HERE / "python" / f"smoke_{name}.py"]
        yield name.replace("_", "-") + "-groups", [interpreter, HERE / "python" / f"groups_{name}.py"]
    yield "confluent-kafka-interfaces", [interpreter, HERE / "python" / "interfaces_confluent_kafka.py"]


def kcat():
    need("kcat")
    yield "kcat", ["bash", HERE / "kcat" / "smoke.sh"]
    yield "kcat-groups", ["bash", HERE / "kcat" / "groups.sh"]


def node_modules():
    """The folder with Node and the modules; scripts are copied there, because modules are looked for beside the script."""
    need("npm")
    wanted = json.dumps({"private": True, "dependencies": {**NPM, **OLD_NPM}}, indent=1)
    stamp = NODE / "installed.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text(wanted)
        quiet(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], "npm install", cwd=NODE)
        stamp.write_text(wanted)
    for script in [file for folder in ["node", "mixed", "restarts"] for file in (HERE / folder).glob("*.mjs")]:
        shutil.copy(script, NODE / script.name)
    return NODE / "node_modules" / ".bin" / "node"


def node():
    runtime = node_modules()
    for name in ["kafkajs", "platformatic"]:
        yield name, [runtime, NODE / f"smoke_{name}.mjs"]
        yield f"{name}-groups", [runtime, NODE / f"groups_{name}.mjs"]
    folder = confluent()
    yield "confluent-kafka-javascript", ["node", folder / "groups_confluent.mjs"]


def confluent():
    """The folder with Confluent's module for the system's Node."""
    name, version = CONFLUENT
    folder = TARGET / "clients" / "confluent"
    stamp, module = folder / "installed", folder / "node_modules" / name
    if not stamp.exists() or stamp.read_text() != version:
        if not os.environ.get("FLOE_TEST_FULL"):
            raise Skip(f"{name} is built only with FLOE_TEST_FULL=1")
        need("node", "make", "g++")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": {name: version}}))
        # Else it would fetch and build zlib and OpenSSL too; and it would compile everything at once if it were not there.
        environment = dict(os.environ, CKJS_LINKING="dynamic")
        quiet(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], "npm install", cwd=folder)
        quiet(["node", module / "util" / "configure"], f"{name}: configure", cwd=module / "deps", env=environment)
        quiet(["make", "-j2", "-C", module / "deps" / "librdkafka", "libs"], f"{name}: make", env=environment)
        quiet(["npm", "rebuild", "--loglevel=error"], f"{name}: npm rebuild", cwd=folder, env=environment)
        stamp.write_text(version)
    shutil.copy(HERE / "node" / "groups_confluent.mjs", folder)
    return folder


def java_library(version=None):
    """The folder with kafka-clients of a version, or of pom.xml's."""
    need("java", "mvn")
    folder = JAVA if version is None else TARGET / f"java-{version}"
    if not list((folder / "lib").glob("kafka-clients-*.jar")):
        pom = HERE / "java" / "pom.xml"
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}", f"-DbuildDirectory={folder}"]
        copy += [f"-Dkafka.version={version}"] if version else []
        quiet(["mvn", "-q", "-B", "-f", pom, *copy], "mvn", timeout=600)
    return folder / "lib"


def java_command(library, program):
    """A program of ours with a version of kafka-clients. They live for seconds: no time for optimising compilers."""
    sources = [HERE / "java" / f"{name}.java" for name in ["Smoke", "Groups", "Interfaces"]] 
    sources += [HERE / "mixed" / "Member.java", HERE / "restarts" / "Restarts.java"]
    classes = JAVA / "classes"
    stamp, wanted = classes / "built", "\n".join(source.read_text() for source in sources)
    if not stamp.exists() or stamp.read_text() != wanted:
        need("javac")
        quiet(["javac", "-d", classes, "-cp", f"{java_library()}/*", *sources], "javac")
        stamp.write_text(wanted)
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{classes}:{library}/*", program]


def java():
    for name, program in [("groups", "Groups"), ("interfaces", "Interfaces"), ("smoke", "Smoke")]:
        yield f"kafka-clients-{name}", java_command(java_library(), program)


def old_python():
    """The oldest interpreter here that has old clients, and those."""
    for minor, pins in OLD_PYTHON.items():
        found = [*Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"), *filter(None, [shutil.which(f"python{minor}")])]
        for interpreter in found:
            works = subprocess.run([interpreter, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL).returncode == 0
            if works:
                return environment_of(TARGET / f"venv-old-{minor}", pins, interpreter), pins
    raise Skip("no Python that old clients are there for")


def members():
    """Everybody who can be in the group of old and new clients: name, command and environment; the older half first."""
    old, new = [], []

    def add(what):
        try:
            what()
        except Skip as reason:
            print(f"SKIP   members of the mixed group: {reason}", flush=True)

    def pythons():
        interpreter, pins = old_python()
        for package, version in pins.items():
            script = str(HERE / "mixed" / f"member_{package.replace('-', '_')}.py")
            old.append([f"{package}-{version}", [str(interpreter), script], {}])
            new.append([f"{package}-{PYTHON[package]}", [str(environment_of(VENV, PYTHON)), script], {}])

    def nodes():
        runtime = node_modules()
        for name, module in [("kafkajs", "kafkajs"), ("platformatic", "@platformatic/kafka")]:
            command = [str(runtime), str(NODE / f"member_{name}.mjs")]
            old.append([f"{name}-{OLD_NPM[f'{name}-old'].rpartition('@')[2]}", command, {"FLOE_MODULE": f"{name}-old"}])
            new.append([f"{name}-{NPM[module]}", command, {"FLOE_MODULE": module}])

    def javas():
        for where, version in [(old, OLD_JAVA), (new, None)]:
            lib = java_library(version)
            [jar] = lib.glob("kafka-clients-*.jar")
            where.append([jar.stem, java_command(lib, "Member"), {}])

    def kcats():
        need("kcat")
        settings = {"client.id": "{name}", "auto.offset.reset": "earliest", "auto.commit.interval.ms": 500, "session.timeout.ms": 6000}
        settings.update({"heartbeat.interval.ms": 500, "partition.assignment.strategy": "roundrobin"})
        command = ["kcat", "-b", "{bootstrap}", "-G", "{group}", "-q", "-u", "-f", "%p %o %s\\n"]
        command += [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]
        old.append(["kcat", [*command, "{topic}"], {}])

    for what in [pythons, nodes, javas, kcats]:
        add(what)
    return old + new


def mixed():
    everybody = members()
    if len(everybody) < 4:
        raise Skip("too few clients are here")
    yield "mixed", [environment_of(VENV, PYTHON), HERE / "mixed" / "mixed.py", json.dumps(everybody)]


SUITES = {"python": python, "kcat": kcat, "node": node, "java": java, "mixed": mixed}


def program():
    """The broker's program."""
    found = Path(os.environ.get("FLOE_TEST_BROKER", TARGET / "debug" / "floe"))
    if not found.exists():
        sys.exit(f"{found} is not there: cargo build -p floe")
    return found


def start_broker(folder, options, store=(), listen="127.0.0.1:0"):
    """A broker that keeps all it has in `folder`, but for its store if `store` says where that is; and its address."""
    log = open(folder / "broker.log", "a")
    command = [program(), "serve", "--data", folder / "data", "--listen", listen, "--admin", "127.0.0.1:0", *store]
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
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for suite in wanted:
                running = []
                try:
                    for name, command in SUITES[suite]():
                        running.append(pool.submit(run_client, name, command, bootstrap))
                except Skip as reason:
                    print(f"SKIP   {suite}: {reason}", flush=True)
                    skipped += 1
                for good in [one.result() for one in running]:
                    passed, failed = passed + good, failed + (not good)
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

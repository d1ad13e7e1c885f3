#!/usr/bin/env python3
"""A cluster of three brokers on LocalStack, on this machine, without Docker.

    python3 localstack/demo.py up        # LocalStack, a bucket by Terraform, etcd, three brokers, a producer, a consumer
    python3 localstack/demo.py status
    python3 localstack/demo.py down      # ends all of it, and deletes what it kept

Needs etcd, Terraform and a built broker (FLOE, or target/release/floe, or target/debug/floe); LocalStack is installed into target/venv-localstack. What
runs is kept in one folder, and every process of it bears that folder's name in its environment: by that `down` finds all of them, also after
an `up` that was killed, and no others.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = HERE / "requirements.txt"
VENV = ROOT / "target" / "venv-localstack"
MARK = "DEMO_OF_FLOE"
# Without this file a folder is no demo's, and nothing in it is deleted.
KEPT = "made-by-demo.py"
TOPIC, GROUP, PARTITIONS = "orders", "shop", 6
# Records that must have gone all the way before the demo counts as up.
ENOUGH = 50
LIMIT = 120
# A broker drains for a minute at most.
DRAIN = 90


class Refused(Exception):
    """What a person has to look at; said in one line."""


def main():
    arguments = parsed()
    demo = Demo(arguments.dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        match arguments.what:
            case "up":
                up(demo, arguments)
            case "status":
                status(demo)
            case "down":
                with demo.alone():
                    print("all of it has ended" if down(demo) else "nothing runs")
            case "produce":
                produce(arguments)
            case "consume":
                consume(demo, arguments)
    except Refused as reason:
        sys.exit(f"demo.py: {reason}")
    except KeyboardInterrupt:
        sys.exit(130)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", "status", "down", "produce", "consume"], metavar="up | status | down")
    parser.add_argument("--dir", type=lambda text: Path(text).resolve(), default=ROOT / "target" / "localstack-demo", help="where all of it is kept")
    parser.add_argument("--port", type=int, default=9092, help="of the first broker; the others have the next two. 0: free ones")
    parser.add_argument("--localstack-port", type=int, default=4566, help="0: a free one")
    # What `up` gives to the producer and the consumer that it starts.
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    parser.add_argument("--floe", help=argparse.SUPPRESS)
    return parser.parse_args()


class Demo:
    """The folder, and the processes that belong to it."""

    def __init__(self, folder):
        self.folder = folder
        # Beside the folder, which goes with the demo.
        self.lock = folder.with_name(f"{folder.name}.lock")
        # Settings of brokers, keys and Terraform's variables of the shell are for something else.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("FLOE", "AWS_", "TF_VAR_"))}
        self.environment |= {MARK: str(folder), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

    @contextlib.contextmanager
    def alone(self):
        """One `up` or `down` at a time; the kernel lets go of it with the process."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with open(self.lock, "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"another up or down of {self.folder} is at work") from None
            yield

    def remove(self):
        """Deletes the folder, if it is one of a demo."""
        if (self.folder / KEPT).exists():
            shutil.rmtree(self.folder)

    def empty(self):
        self.remove()
        if self.folder.exists() and any(self.folder.iterdir()):
            raise Refused(f"{self.folder} holds something else")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / KEPT).touch()

    def start(self, name, command, **more):
        """In a session of its own, so that Ctrl-C is for `up` alone."""
        with open(self.folder / f"{name}.log", "ab") as log:
            out = more.pop("stdout", log)
            command = [str(word) for word in command]
            environment = self.environment | more
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=self.folder, env=environment, start_new_session=True, text=True
            )

    def run(self, name, command, **more):
        process = self.start(name, command, **more)
        if process.wait() != 0:
            raise Refused(f"{name} failed: {last_lines(self.folder / f'{name}.log')}")

    def processes(self):
        """Process ids, and the command line of each as a list."""
        mark, found = f"{MARK}={self.folder}".encode(), {}
        for place in Path("/proc").glob("[0-9]*"):
            # One that has ended meanwhile, or is somebody else's.
            with contextlib.suppress(OSError):
                if mark in (place / "environ").read_bytes().split(b"\0"):
                    found[int(place.name)] = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return found

    def state(self):
        try:
            return json.loads((self.folder / "demo.json").read_text())
        except (OSError, ValueError):
            return None


def up(demo, arguments):
    with demo.alone():
        running = demo.processes()
        if running:
            raise Refused(f"it runs already, or what is left of it does (processes {' '.join(map(str, running))}): python3 {sys.argv[0]} down")
        needed = {"etcd": "apt-get install etcd-server", "terraform": "Terraform 1.9 or newer"}
        for program, how in needed.items():
            if not shutil.which(program):
                raise Refused(f"{program} is not here: {how}")
        floe = broker_program()
        demo.empty()
        began = time.monotonic()
        try:
            state = start_all(demo, arguments, floe)
        except BaseException:
            print(f"demo.py: ending what was started; logs stay in {demo.folder}", file=sys.stderr)
            end(demo)
            raise
    show(demo, state)
    print(f"\nup after {time.monotonic() - began:.1f} s; python3 {sys.argv[0]} down ends all of it")


def start_all(demo, arguments, floe):
    python = installed(demo)
    said = lambda what: print(what, flush=True)
    endpoint = localstack(demo, python, arguments.localstack_port)
    said(f"LocalStack   {endpoint}")
    store = bucket(demo, endpoint)
    said(f"bucket       {store}")
    cluster = brokers(demo, floe, arguments.port, store, endpoint)
    said(f"brokers      {cluster['bootstrap']}")
    bootstrap = ["--bootstrap", cluster["bootstrap"]]
    settings = ["--partitions", PARTITIONS, "-c", "retention.ms=3600000"]
    demo.run("topic", [floe, "topic", "create", TOPIC, *settings, *bootstrap])
    for role in ["produce", "consume"]:
        demo.start(role, [sys.executable, HERE / "demo.py", role, "--dir", demo.folder, "--floe", floe, *bootstrap])
    wait(lambda: consumed(demo)["records"] >= ENOUGH, "the consumer gets no records", demo.folder / "consume.log")
    state = {"floe": str(floe), "localstack": endpoint, "store": store, **cluster}
    (demo.folder / "demo.json").write_text(json.dumps(state, indent=1))
    return state


def broker_program():
    places = [os.environ.get("FLOE"), ROOT / "target" / "release" / "floe", ROOT / "target" / "debug" / "floe"]
    for place in places:
        if place and Path(place).is_file():
            return Path(place).resolve()
    raise Refused("there is no broker: cargo build --release --bin floe")


def installed(demo):
    """LocalStack's interpreter. The tests have it in the same place, and look at the same stamp."""
    stamp, wanted, python = VENV / "floe-packages", PACKAGES.read_text().strip(), VENV / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing LocalStack, a minute or two", flush=True)
        demo.run("pip", [sys.executable, "-m", "venv", VENV])
        demo.run("pip", [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PACKAGES])
        stamp.write_text(wanted)
    return python


def localstack(demo, python, port):
    port = free(port, "LocalStack")
    here = f"127.0.0.1:{port}"
    # Without OVERRIDE_IN_DOCKER it may take this machine for a container of its own; hypercorn binds only what it is told.
    settings = {"OVERRIDE_IN_DOCKER": "0", "FILESYSTEM_ROOT": str(demo.folder / "localstack"), "GATEWAY_SERVER": "hypercorn", "GATEWAY_LISTEN": here}
    settings |= {"LOCALSTACK_HOST": here, "DNS_ADDRESS": "0", "DISABLE_EVENTS": "1", "SKIP_SSL_CERT_DOWNLOAD": "1", "PERSISTENCE": "0"}
    process = demo.start("localstack", [python, "-m", "localstack.runtime.main"], **settings)
    health = f"http://{here}/_localstack/health"
    wait(lambda: answers(health), "LocalStack does not start", demo.folder / "localstack.log", process)
    return f"http://{here}"


def free(port, whose):
    """Two brokers or stores on one port would be mixed up silently, where one of them only looks whether somebody answers."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(f"{whose} cannot have port {port}: {error.strerror}") from None
        return one.getsockname()[1]


def bucket(demo, endpoint):
    """Made by a copy of the example, so that its state goes with the demo."""
    leave = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "terraform.tfstate*")
    shutil.copytree(ROOT / "terraform", demo.folder / "terraform", ignore=leave)
    terraform = ["terraform", f"-chdir={demo.folder / 'terraform' / 'examples' / 'localstack'}"]
    quiet = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    demo.run("terraform", [*terraform, "init", "-no-color", "-input=false"], **quiet)
    variables = ["-var", f"endpoint={endpoint}", "-var", "surroundings=false"]
    demo.run("terraform", [*terraform, "apply", "-no-color", "-input=false", "-auto-approve", *variables], **quiet)
    command = [*terraform, "output", "-raw", "store_url"]
    return subprocess.run(command, env=demo.environment | quiet, capture_output=True, text=True, check=True).stdout.strip()


def brokers(demo, floe, port, store, endpoint):
    for number in range(3 if port else 0):
        free(port + number, f"broker {number + 1}")
    settings = {"endpoint": endpoint, "region": "us-east-1", "access.key.id": "test", "secret.access.key": "test"}
    options = [word for key, value in settings.items() for word in ("-o", f"s3.{key}={value}")]
    command = [floe, "dev", "cluster", "--brokers", "3", "--data", demo.folder / "cluster", "--port", port, "--store", store, *options]
    process = demo.start("cluster", command, stdout=subprocess.PIPE)
    # One that does not get ready in a minute ends by itself.
    line = process.stdout.readline()
    ready = re.match(r"floe ready: bootstrap (\S+), admin (.+?), etcd (\S+), data ", line)
    if not ready:
        raise Refused(f"the cluster does not start: {last_lines(demo.folder / 'cluster.log')}")
    return {"bootstrap": ready[1], "admin": ready[2].split(), "etcd": ready[3]}


def produce(arguments):
    """Ten orders a second, in requests of their own each second, until it is ended. A cluster that moves leaders makes one of them fail, and it is sent again."""
    number = 0
    while True:
        lines = "".join(f"customer-{n % 7}:order {n}\n" for n in range(number, number + 10))
        command = [arguments.floe, "produce", TOPIC, "--key-separator", ":", "--bootstrap", arguments.bootstrap]
        if subprocess.run(command, input=lines, text=True).returncode == 0:
            number += 10
        time.sleep(1)


def consume(demo, arguments):
    """Reads as a group, begun again where a leader has moved; says how far it is in a file."""
    records, told = 0, 0.0
    command = [arguments.floe, "consume", TOPIC, "--group", GROUP, "--show", "partition,offset", "--bootstrap", arguments.bootstrap]
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            for line in reader.stdout:
                records += 1
                if records <= ENOUGH or time.monotonic() > told + 1:
                    told = time.monotonic()
                    new = demo.folder / "consumed.new"
                    new.write_text(json.dumps({"records": records, "last": line.strip()}))
                    new.rename(demo.folder / "consumed.json")
        time.sleep(1)


def consumed(demo):
    try:
        return json.loads((demo.folder / "consumed.json").read_text())
    except FileNotFoundError:
        return {"records": 0, "last": ""}


def status(demo):
    state = demo.state()
    if not state or not demo.processes():
        raise Refused("nothing runs")
    show(demo, state)


def show(demo, state):
    subprocess.run([state["floe"], "cluster", "status", "--etcd", state["etcd"]], env=demo.environment)
    seen = consumed(demo)
    print(f"\ntopic {TOPIC}: the consumer of group {GROUP} has read {seen['records']} records; one of the last: {seen['last']}")
    for title, what in [("bootstrap", state["bootstrap"]), ("etcd", state["etcd"]), ("store", f"{state['store']} at {state['localstack']}")]:
        print(f"{title:10} {what}")
    for address in state["admin"]:
        print(f"{'admin':10} {address}")
    print(f"{'logs':10} {demo.folder}")


def down(demo):
    """Whether anything ran."""
    ran = end(demo)
    left = demo.processes()
    if left:
        raise Refused(f"these do not end: {left}")
    demo.remove()
    return ran


def end(demo):
    """Clients first, then brokers, which drain into LocalStack; then whatever is left. Whether there was anything."""
    ran = bool(demo.processes())
    stop(demo, {"produce", "consume", "terraform"}, 10)
    stop(demo, {"cluster"}, DRAIN)
    # Where that was killed, its brokers go on; LocalStack does not end when it is asked to.
    stop(demo, {"serve"}, DRAIN)
    deadline = time.monotonic() + 10
    while (left := demo.processes()) and time.monotonic() < deadline:
        for pid in left:
            signalled(pid, signal.SIGKILL)
        time.sleep(0.1)
    return ran


def stop(demo, words, limit):
    """Asks those to end whose command begins with one of the words, and waits."""
    chosen = lambda: [pid for pid, command in demo.processes().items() if words & set(command[:3])]
    deadline = time.monotonic() + limit
    for pid in chosen():
        signalled(pid, signal.SIGTERM)
    while chosen() and time.monotonic() < deadline:
        time.sleep(0.1)


def signalled(pid, what):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def answers(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


def wait(done, complaint, log, process=None):
    deadline = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > deadline or process and process.poll() is not None:
            raise Refused(f"{complaint}: {last_lines(log)}")
        time.sleep(0.1)


def last_lines(log):
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"see {log}" + "".join(f"\n    {line}" for line in text.splitlines()[-5:])


if __name__ == "__main__":
    main()

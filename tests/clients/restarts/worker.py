"""What a worker of this suite says, on lines of its own: what was acknowledged, what a consumer was given, and what the application was told.

Three idempotent producers and five consumers of one group, with the client's default settings. The end of the standard input ends the
producers, SIGTERM the consumers.
"""

import os
import select
import signal
import sys
import threading

BOOTSTRAP = os.environ.get("FLOE_BOOTSTRAP")
TOPIC = os.environ.get("FLOE_TOPIC")
GROUP = f"{TOPIC}-group"
PARTITIONS = 10
PRODUCERS = 3
CONSUMERS = 5
# Between two records of one producer.
PAUSE = 0.02

_one_line_at_a_time = threading.Lock()
_told_to_end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: _told_to_end.set())


def say(*words):
    with _one_line_at_a_time:
        print(*words, flush=True)


def acknowledged(value, partition, offset):
    say("ack", value, partition, offset)


def read(value, partition, offset):
    say("read", value, partition, offset)


def error(who, what):
    """The application is told that something it asked for failed."""
    say("error", who, repr(str(what)))


def note(who, what):
    """The application is told of something that needs nothing from it."""
    say("note", who, repr(str(what)))


def produces():
    return not select.select([sys.stdin], [], [], 0)[0]


def consumes():
    return not _told_to_end.is_set()


def values(producer):
    """Values of one producer with their partitions, without end."""
    n = 0
    while True:
        yield f"p{producer}-{n}", n % PARTITIONS
        n += 1

"""What every Python client sends and expects; the clients' own files say how."""

import os

BOOTSTRAP = os.environ.get("FLOE_BOOTSTRAP", "127.0.0.1:9092")
TOPIC = os.environ.get("FLOE_TOPIC", "smoke")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COUNT = 60
# A second between records, some hours ago: brokers may refuse what lies too far from their clock.
START = 1_790_000_000_000
HEADERS = [("trace", b"one"), ("trace", b"two"), ("empty", b"")]


def topic(codec):
    return f"{TOPIC}-{codec}"


def records():
    """(key, value, timestamp) of each; every fifth has no key, the seventh no value, one is large."""
    for n in range(COUNT):
        key = None if n % 5 == 4 else f"key-{n}".encode()
        value = None if n == 7 else f"value-{n} ".encode() * (20_000 if n == 11 else 10)
        yield key, value, START + n * 1000


def check(codec, got):
    """`got`: (offset, key, value, timestamp, headers) as they were read."""
    wanted = [(n, key, value, at, HEADERS) for n, (key, value, at) in enumerate(records())]
    assert len(got) == len(wanted), f"{codec}: {len(got)} records instead of {len(wanted)}"
    for one, other in zip(got, wanted):
        assert one == other, f"{codec}: {str(one)[:300]} instead of {str(other)[:300]}"

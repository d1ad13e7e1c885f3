"""F6: what an export does to who waits for an acknowledgement. One broker; a topic of one partition gets 500 records a second, and beside it another gets
25 MB/s: in turn one that the broker exports (every second what is new), and one that it does not. Acknowledgements are timed by librdkafka."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BYTES_PER_SECOND = 25_000_000
VALUE_BYTES = 1000
TAIL_PER_SECOND = 500
WARM_SECONDS, SECONDS = 3, 12
FRESHNESS_MS = 1000

# In a process of its own: how fast this one is at hearing acknowledgements must not depend on it.
BULK = """
import os, sys, time
from confluent_kafka import Producer
port, topic, rate, size, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
values = [os.urandom(size // 2).hex().encode() for _ in range(5000)]
producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", "linger.ms": 20, "acks": "all", "queue.buffering.max.kbytes": 1 << 18})
began, sent, step = time.monotonic(), 0, rate // size // 100
while (now := time.monotonic() - began) < seconds:
    if sent > now * rate / size:
        producer.poll(0.005)
        continue
    for n in range(sent, sent + step):
        producer.produce(topic, value=values[n % len(values)], partition=n % 2)
    sent += step
assert producer.flush(60) == 0
print(sent)
"""


def exported_rows(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("floe_export_rows_total"))


def percentile(sorted_numbers, part):
    return sorted_numbers[min(len(sorted_numbers) - 1, int(len(sorted_numbers) * part))]


class Phase:
    """So many seconds of both loads."""

    def __init__(self, suite, broker, topic):
        self.latencies, self.exported = [], []
        arguments = [str(broker.port), topic, BYTES_PER_SECOND, VALUE_BYTES, WARM_SECONDS + SECONDS + 1]
        bulk = subprocess.Popen([sys.executable, "-c", BULK, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        producer = suite.Producer({"bootstrap.servers": f"127.0.0.1:{broker.port}", "linger.ms": 0, "acks": "all"})

        def heard(error, message):
            assert error is None, error
            if time.monotonic() - began > WARM_SECONDS:
                self.latencies.append(message.latency() * 1000)

        began, sent, rows_at = time.monotonic(), 0, {}
        while (now := time.monotonic() - began) < WARM_SECONDS + SECONDS:
            if int(now) >= WARM_SECONDS:
                rows_at.setdefault(int(now), None)
                if rows_at[int(now)] is None:
                    rows_at[int(now)] = (exported_rows(broker.admin_port), now)
            due = sent / TAIL_PER_SECOND
            if due > now:
                producer.poll(due - now)
                continue
            producer.produce("tail", value=os.urandom(100), on_delivery=heard)
            sent += 1
        assert producer.flush(60) == 0
        self.sent = int(bulk.communicate(timeout=120)[0])
        (first, began_at), (last, ended_at) = min(rows_at.values()), max(rows_at.values())
        self.export_rate = (last - first) * VALUE_BYTES / (ended_at - began_at) / 1e6
        self.input_rate = self.sent * VALUE_BYTES / (WARM_SECONDS + SECONDS + 1) / 1e6


def settle(broker, rows):
    """Until all of it is exported, and the broker has a moment of its own."""
    limit = time.monotonic() + 120
    while exported_rows(broker.admin_port) < rows:
        assert time.monotonic() < limit, "what was produced is not exported"
        time.sleep(0.2)
    time.sleep(2)


def measure(suite, rounds):
    folder = Path(tempfile.mkdtemp(prefix="floe-tables-bench-"))
    broker = suite.Broker(folder, "-o", f"floe.export.targets=file://{folder}/lake")
    try:
        admin = suite.AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
        exported = {"floe.export": "parquet", "floe.export.freshness.ms": str(FRESHNESS_MS)}
        topics = [suite.NewTopic("tail", 1), suite.NewTopic("plain", 2), suite.NewTopic("exported", 2, config=exported)]
        for made in admin.create_topics(topics).values():
            made.result(30)
        phases = {"plain": [], "exported": []}
        for _ in range(rounds):
            for topic, of_topic in phases.items():
                of_topic.append(Phase(suite, broker, topic))
                settle(broker, sum(phase.sent for phase in phases["exported"]))
        tell(phases, rounds)
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


def tell(phases, rounds):
    print(f"F6 tail at {TAIL_PER_SECOND}/s beside {BYTES_PER_SECOND / 1e6:.0f} MB/s, {rounds} rounds of {SECONDS} s each; ms; p99 of rounds: min / median / max")
    pooled = {}
    for topic, of_topic in phases.items():
        every = sorted(latency for phase in of_topic for latency in phase.latencies)
        pooled[topic] = percentile(every, 0.99)
        of_rounds = [percentile(sorted(phase.latencies), 0.99) for phase in of_topic]
        spread = " / ".join(f"{number:.2f}" for number in (min(of_rounds), statistics.median(of_rounds), max(of_rounds)))
        told = ", ".join(f"p{part * 100:g} {percentile(every, part):.2f}" for part in (0.5, 0.99, 0.999))
        slowest = min(phase.input_rate for phase in of_topic)
        print(f"  {topic:<9} pooled {told}; rounds {spread}; {len(every)} acks; {slowest:.1f} MB/s in at least")
    reached = [phase.export_rate for phase in phases["exported"]]
    print(f"  exported {min(reached):.1f} / {statistics.median(reached):.1f} / {max(reached):.1f} MB/s of values meanwhile")
    print(f"  ratio of pooled p99  {pooled['exported'] / pooled['plain']:.2f}x", flush=True)

#!/usr/bin/env python3
"""How fast `floe export` is, against pyarrow writing the same table from memory: python3 tests/tables/python/bench.py [RECORDS] [BYTES] [OPTIONS OF EXPORT...]

Records of random hex in one topic of two partitions, in a store whose broker has ended. Rounds alternate: an export of it (`floe export`,
read, decoded, encoded, written), and pyarrow with the same columns, codec, level and row groups, from a table that is in memory already. Rows a
second, the best and the median of the rounds, and the exporter's peak memory. The program: FLOE_TEST_BROKER, or target/profiling/floe.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("FLOE_TEST_BROKER", str(Path(__file__).resolve().parents[3] / "target/profiling/floe"))
import run as suite  # noqa: E402

ROUNDS = 5


# Starts programs from a process that is small itself: a child's peak memory begins as that of whoever starts it (exec keeps the mark), and
# this one holds tables.
RUNNER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    began = time.monotonic()
    child = subprocess.Popen(json.loads(line), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    print(json.dumps([status, time.monotonic() - began, usage.ru_maxrss]), flush=True)
"""


class Runner:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command):
        """Seconds, and KiB of memory."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        status, took, peak = json.loads(self.process.stdout.readline())
        assert status == 0, command
        return took, peak

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def rate(rows, took):
    return f"best {rows / min(took):,.0f} rows/s, median {rows / statistics.median(took):,.0f}"


def main():
    records, size = (int(argument) for argument in (sys.argv[1:3] + ["400000", "1000"][len(sys.argv[1:3]) :]))
    runner, folder = Runner(), Path(tempfile.mkdtemp(prefix="floe-tables-bench-"))
    broker = suite.Broker(folder)
    try:
        admin = suite.AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
        admin.create_topics([suite.NewTopic("t", 2)])["t"].result(30)
        acked = suite.Acked(broker.port)
        producer = acked.producer("none")
        for n in range(records):
            while True:
                try:
                    producer.produce("t", key=b"%d" % (n % 1000), value=os.urandom(size // 2).hex().encode(), partition=n % 2)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(300) == 0
        del producer
        broker.stop()
        ours, theirs, peak = [], [], 0
        for round in range(ROUNDS):
            took, memory = runner.run([suite.FLOE, "export", "t", "--store", broker.store, "--to", f"file://{folder}/out-{round}", *sys.argv[3:]])
            ours.append(took)
            peak = max(peak, memory)
            if round == 0:
                files = sorted(map(str, (folder / "out-0").glob("**/*.parquet")))
                table = suite.pyarrow.dataset.dataset(files).to_table()
                assert table.num_rows == records
            began = time.monotonic()
            suite.pyarrow.parquet.write_table(table, folder / "theirs.parquet", compression="zstd", compression_level=1, row_group_size=records // 8)
            theirs.append(time.monotonic() - began)
            if round > 0:
                shutil.rmtree(folder / f"out-{round}")
        print(f"{records} records of {size} bytes, {ROUNDS} rounds\nfloe export: {rate(records, ours)}\npyarrow:     {rate(records, theirs)}")
        print(f"ratio of medians {statistics.median(theirs) / statistics.median(ours):.2f}; floe export takes {peak >> 10} MiB at most")
    finally:
        runner.end()
        if broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()

#!/usr/bin/env python3
"""How fast exports are, against what does the same work without Floe: python3 tests/tables/python/bench.py [F1] [F2] [F3] [F6] [--rounds N]

F1  `floe export` in mode raw, values of 1,000 bytes of hex, against pyarrow, which writes the same columns from memory.
F2  the same in mode json, lines of 12 fields, against DuckDB: read_json of the same lines in one file, copied to Parquet.
F3  the same in mode avro, values of the same 12 fields, against fastavro and pyarrow: values in memory, decoded and written.
F6  acknowledgements of a topic at 500 records a second while another takes 25 MB/s, exported by its broker and not: see tail.py.

F1-F3 read a store whose broker has ended: two partitions, uncompressed batches. Both sides write zstd of level 1 onto the same disk and have both cores;
rounds alternate. Rows a second: the least, the median, the most, and the ratio of each round's pair. The program: FLOE_TEST_BROKER, or
target/profiling/floe. What is behind `--` is given to `floe export`.
"""

import argparse
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("FLOE_TEST_BROKER", str(Path(__file__).resolve().parents[3] / "target/profiling/floe"))
import run as suite  # noqa: E402

import tail  # noqa: E402

RECORDS = {"F1": 800_000, "F2": 2_000_000, "F3": 1_000_000}
THREADS = 2

# Starts programs from a process that is small itself: a child's peak memory begins as that of whoever starts it (exec keeps the mark), and
# this one holds tables.
RUNNER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    began = time.monotonic()
    child = subprocess.Popen(json.loads(line), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    print(json.dumps([status, time.monotonic() - began, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]), flush=True)
"""


class Runner:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command):
        """Seconds, KiB of memory, and seconds of CPU."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        status, *measured = json.loads(self.process.stdout.readline())
        assert status == 0, command
        return measured

    def end(self):
        self.process.stdin.close()
        self.process.wait()


# An order: whole numbers, fractions, words that repeat, and texts that do not.
FIELDS = {
    "id": "long",
    "order": "string",
    "customer": "long",
    "country": "string",
    "status": "string",
    "amount": "double",
    "quantity": "int",
    "discount": "double",
    "paid": "boolean",
    "created": "long",
    "comment": "string",
    "session": "string",
}
SCHEMA = {"type": "record", "name": "Order", "fields": [{"name": name, "type": of} for name, of in FIELDS.items()]}
COUNTRIES = ["DE", "FR", "IT", "ES", "PL", "NL", "SE", "AT", "US", "JP"]
STATES = ["open", "paid", "packed", "shipped", "returned"]
WORDS = "ring twice leave it with the neighbour at the back door before noon after six on Friday please thank you call first".split()


def orders(number):
    draw = random.Random(12)
    for n in range(number):
        values = [n, f"{draw.getrandbits(64):016x}", draw.randrange(50_000), draw.choice(COUNTRIES), draw.choice(STATES)]
        values += [draw.randrange(1_000_000) / 100, draw.randrange(1, 20), draw.randrange(100) / 100, draw.random() < 0.8]
        values += [1_800_000_000_000 + n * 7, " ".join(draw.choices(WORDS, k=8)), f"{draw.getrandbits(128):032x}"]
        yield dict(zip(FIELDS, values, strict=True))


def hex_values(number, size=1000):
    for _ in range(number):
        yield os.urandom(size // 2).hex().encode()


def json_values(number):
    for order in orders(number):
        yield json.dumps(order, separators=(",", ":")).encode()


def avro_values(number):
    schema = suite.fastavro.parse_schema(SCHEMA)
    for order in orders(number):
        out = io.BytesIO()
        suite.fastavro.schemaless_writer(out, schema, order)
        yield out.getvalue()


class Pyarrow:
    """The table of the first export, from memory: with a dictionary for each column, as pyarrow's default is, or with those that Floe has."""

    name = "pyarrow"

    def __init__(self, folder, values, more):
        self.folder, self.more, self.table = folder, more, None

    def run(self, exported):
        if self.table is None:
            self.table = suite.pyarrow.dataset.dataset(sorted(map(str, exported.glob("**/*.parquet")))).to_table().combine_chunks()
        began = time.monotonic()
        options = {"compression": "zstd", "compression_level": 1, "row_group_size": self.table.num_rows // 8, **self.more}
        suite.pyarrow.parquet.write_table(self.table, self.folder / "theirs.parquet", **options)
        return time.monotonic() - began


class Duckdb:
    name = "DuckDB"

    def __init__(self, folder, values, _more):
        self.lines, self.out = folder / "lines.ndjson", folder / "theirs.parquet"
        self.lines.write_bytes(b"\n".join(values) + b"\n")

    def run(self, _exported):
        engine = suite.duckdb.connect()
        engine.execute(f"SET threads={THREADS}")
        began = time.monotonic()
        lines = f"SELECT * FROM read_json('{self.lines}', format='newline_delimited')"
        engine.execute(f"COPY ({lines}) TO '{self.out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
        return time.monotonic() - began


class Fastavro:
    name = "fastavro and pyarrow"

    def __init__(self, folder, values, _more):
        self.out, self.values = folder / "theirs.parquet", values

    def run(self, _exported):
        schema, read = suite.fastavro.parse_schema(SCHEMA), suite.fastavro.schemaless_reader
        types = {"long": suite.pyarrow.int64, "string": suite.pyarrow.string, "double": suite.pyarrow.float64, "int": suite.pyarrow.int32}
        columns = [(name, (types | {"boolean": suite.pyarrow.bool_})[of]()) for name, of in FIELDS.items()]
        began = time.monotonic()
        rows = [read(io.BytesIO(value), schema, None) for value in self.values]
        table = suite.pyarrow.Table.from_pylist(rows, suite.pyarrow.schema(columns))
        suite.pyarrow.parquet.write_table(table, self.out, compression="zstd", compression_level=1)
        return time.monotonic() - began


def produce(port, values):
    producer = suite.Acked(port).producer("none")
    for n, value in enumerate(values):
        while True:
            try:
                producer.produce("t", key=b"%d" % (n % 1000), value=value, partition=n % 2)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(300) == 0


def spread(numbers, form):
    return " / ".join(form.format(number) for number in (min(numbers), statistics.median(numbers), max(numbers)))


class Case:
    """One way to export, beside its peer."""

    def __init__(self, name, options, peer):
        self.name, self.options, self.peer = name, options, peer
        self.ours, self.theirs, self.peak, self.cpu = [], [], 0, []

    def round(self, runner, store, folder, more):
        out = folder / "out"
        # What was written before is not to be written to the disk meanwhile, by either side.
        os.sync()
        took, peak, cpu = runner.run([suite.FLOE, "export", "t", "--store", store, "--to", f"file://{out}", *self.options, *more])
        self.ours.append(took)
        self.cpu.append(cpu)
        self.peak = max(self.peak, peak)
        os.sync()
        self.theirs.append(self.peer.run(out))
        shutil.rmtree(out)

    def tell(self, row, records):
        ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        print(f"{row} {self.name}: {records} records, {len(ratios)} rounds; min / median / max")
        ours, theirs = (spread([records / took for took in times], "{:,.0f}") for times in (self.ours, self.theirs))
        print(f"  floe export          {ours} rows/s, {statistics.median(self.cpu):.2f} s of CPU, {self.peak >> 10} MiB at most")
        print(f"  {self.peer.name:<20} {theirs} rows/s")
        print(f"  ratio                {spread(ratios, '{:.2f}x')}", flush=True)


def cases(row, folder, values):
    if row == "F1":
        plain = {"use_dictionary": False}
        return [Case("raw", [], Pyarrow(folder, values, {})), Case("raw, pyarrow without dictionaries", [], Pyarrow(folder, values, plain))]
    if row == "F2":
        peer = Duckdb(folder, values, {})
        return [Case("json, with the column value", ["--mode", "json"], peer), Case("json, --drop-value", ["--mode", "json", "--drop-value"], peer)]
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    options, peer = ["--mode", "avro", "--schema", str(folder / "order.avsc")], Fastavro(folder, values, {})
    return [Case("avro, with the column value", options, peer), Case("avro, --drop-value", [*options, "--drop-value"], peer)]


def measure(row, records, rounds, more):
    runner, folder = Runner(), Path(tempfile.mkdtemp(prefix="floe-tables-bench-"))
    broker = suite.Broker(folder)
    try:
        admin = suite.AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
        admin.create_topics([suite.NewTopic("t", 2)])["t"].result(30)
        values = list({"F1": hex_values, "F2": json_values, "F3": avro_values}[row](records))
        produce(broker.port, values)
        broker.stop()
        every = cases(row, folder, values)
        del values
        for _ in range(rounds):
            for case in every:
                case.round(runner, broker.store, folder, more)
        for case in every:
            case.tell(row, records)
    finally:
        runner.end()
        if broker.process.poll() is None:
            broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("rows", nargs="*", metavar="ROW", help="F1, F2, F3, F6; all")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--records", type=int, help="of F1, F2 and F3")
    chosen = arguments.parse_args(own)
    print(suite.FLOE)
    for row in chosen.rows or ["F1", "F2", "F3", "F6"]:
        print(f"load before {row}: {os.getloadavg()[0]:.2f}", flush=True)
        if row == "F6":
            tail.measure(suite, chosen.rounds)
        else:
            measure(row, chosen.records or RECORDS[row], chosen.rounds, more)


main()

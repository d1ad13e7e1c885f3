#!/usr/bin/env python3
"""Exports topics with `floe export`, and reads them back with pyarrow, DuckDB and Polars: python3 tests/tables/python/run.py

Starts a broker of its own, produces with every codec, null keys and values, empty and repeated headers, a value of 10 MiB and very many
tiny records; exports while the broker runs and when it has gone; kills exporters (kill -9) at random points, races them, and after each
reads the plain glob. Each engine must see every acknowledged record once, bit for bit.

The program: FLOE_TEST_BROKER, or target/debug/floe. FLOE_TEST_FULL: a million tiny records, and 200 kills. The packages go into
target/venv-tables; without them the suite is skipped, with the reason.
"""

import datetime
import decimal
import functools
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = Path(__file__).resolve().parents[3] / "target"
VENV = TARGET / "venv-tables"
PACKAGES = ["confluent-kafka==2.16.0", "duckdb==2.0.1", "fastavro==1.13.1", "polars==2.1.0", "pyarrow==26.0.1"]


def enter_venv():
    """Goes on in the venv, or says why it cannot."""
    if os.environ.get("FLOE_TABLES_VENV"):
        return
    stamp = VENV / "floe-packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        pip = [str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", str(VENV)], [*pip, *PACKAGES]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
                print(f"SKIP tables: {' '.join(command[:4])}: {last[-1]}")
                sys.exit(0)
        stamp.write_text("\n".join(PACKAGES))
    os.execve(VENV / "bin/python", [str(VENV / "bin/python"), *sys.argv], {**os.environ, "FLOE_TABLES_VENV": "1"})


enter_venv()

import duckdb  # noqa: E402
import fastavro  # noqa: E402
import polars  # noqa: E402
import pyarrow.dataset  # noqa: E402
import pyarrow.parquet  # noqa: E402
from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

FLOE = os.environ.get("FLOE_TEST_BROKER") or str(TARGET / "debug/floe")
FULL = bool(os.environ.get("FLOE_TEST_FULL"))
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PARTITIONS = 3
TINY = 1_000_000 if FULL else 100_000
KILLS = 200 if FULL else 12
SEED = int(os.environ.get("FLOE_TEST_SEED") or random.randrange(1 << 32))
# The program takes variables that begin so for its settings.
for variable in [name for name in os.environ if name.startswith("FLOE_")]:
    del os.environ[variable]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, folder):
        self.data, self.port = folder / "data", free_port()
        self.store = f"file://{self.data}/store"
        listen = ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}"]
        self.log = open(folder / "broker.log", "wb")
        command = [FLOE, "serve", "--data", str(self.data), *listen]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        if not self.process.stdout.readline():
            raise SystemExit(f"the broker did not start: {(folder / 'broker.log').read_text()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0, "the broker did not drain"


class Acked:
    """What the broker has acknowledged: by (topic, partition), offset -> (timestamp, key, value, headers)."""

    def __init__(self, port):
        self.port, self.records = port, {}

    def producer(self, codec):
        settings = {"bootstrap.servers": f"127.0.0.1:{self.port}", "compression.type": codec, "linger.ms": 20}
        return Producer({**settings, "message.max.bytes": 20_000_000, "queue.buffering.max.kbytes": 1 << 20, "acks": "all"})

    def send(self, codec, topic, records):
        producer = self.producer(codec)

        def acked(sent, error, message):
            assert error is None, error
            known = self.records.setdefault((topic, message.partition()), {})
            assert message.offset() not in known
            known[message.offset()] = (message.timestamp()[1], *sent)

        for key, value, headers, partition in records:
            while True:
                try:
                    told = functools.partial(acked, (key, value, headers))
                    producer.produce(topic, value=value, key=key, headers=headers, partition=partition, on_delivery=told)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(300) == 0

    def rows(self, topic):
        every = [(p, offset, *record) for (t, p), records in self.records.items() if t == topic for offset, record in records.items()]
        return sorted(every, key=lambda row: row[:2])


def odd_records(number):
    """Null and empty keys and values, repeated headers, headers without a value."""
    for n in range(number):
        key = [None, b"", b"key %d" % n, bytes(range(256))][n % 4]
        value = [b"value %d" % n, None, b"", os.urandom(100)][n // 4 % 4]
        headers = [[], [("h", b"1"), ("h", b"2"), ("h", None)], [("", b"")]][n % 3]
        yield key, value, headers, n % PARTITIONS


def export(store, topic, target, *more, **settings):
    command = [FLOE, "export", topic, "--store", store, "--to", f"file://{target}", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, **settings).stdout


def plain(rows):
    """Every engine's rows as those that were acknowledged."""
    for partition, offset, timestamp, key, value, headers in rows:
        yield partition, offset, timestamp, key, value, [(header["key"], header["value"]) for header in headers]


COLUMNS = ["partition", "offset", "timestamp", "key", "value", "headers"]


def by_pyarrow(target):
    table = pyarrow.dataset.dataset(sorted(map(str, target.glob("**/*.parquet")))).to_table(columns=COLUMNS)
    columns = [table[name].cast("int64").to_pylist() if name == "timestamp" else table[name].to_pylist() for name in COLUMNS]
    return list(plain(zip(*columns)))


def by_duckdb(target):
    found = duckdb.sql(
        f"select partition, \"offset\", epoch_ms(timestamp), key, value, headers from read_parquet('{target}/**/*.parquet')"
    )
    return list(plain(found.fetchall()))


def by_polars(target):
    found = polars.scan_parquet(f"{target}/**/*.parquet").select(COLUMNS).with_columns(polars.col("timestamp").dt.epoch("ms")).collect()
    return list(plain(found.iter_rows()))


ENGINES = {"pyarrow": by_pyarrow, "DuckDB": by_duckdb, "Polars": by_polars}


def check_same(target, expected):
    for name, read in ENGINES.items():
        rows = sorted(read(target), key=lambda row: row[:2])
        assert len(rows) == len(expected), f"{name}: {len(rows)} rows of {len(expected)}"
        for row, known in zip(rows, expected):
            assert row == known, f"{name}: {str(row)[:300]} is not {str(known)[:300]}"


def check_exact(target, acked):
    """What there is of a table: offsets from 0 without a hole or a repeat, and the values that were acknowledged. The rows."""
    if not any(target.glob("**/*.parquet")):
        return 0
    found = duckdb.sql(
        "select partition, count(*), count(distinct \"offset\"), min(\"offset\"), max(\"offset\"), sum(hash(value)::hugeint) "
        f"from read_parquet('{target}/**/*.parquet') group by partition"
    ).fetchall()
    for partition, count, distinct, first, last, hashes in found:
        assert count == distinct == last + 1 and first == 0, f"partition {partition}: {count} rows, {distinct} offsets, {first} to {last}"
        assert hashes == acked[partition][count], f"partition {partition}: the values of the first {count} rows"
    return sum(row[1] for row in found)


def hashes_of(acked, topic):
    """By partition and number of rows: the sum of the values' hashes, as DuckDB computes them."""
    sums = {}
    for partition in range(PARTITIONS):
        known = [record[2] for _, record in sorted(acked.records[(topic, partition)].items())]
        table = pyarrow.table({"n": list(range(len(known))), "value": pyarrow.array(known, pyarrow.binary())})  # noqa: F841
        running = duckdb.sql("select n + 1, sum(hash(value)::hugeint) over (order by n) from table order by n".replace("table", '"table"'))
        sums[partition] = dict(running.fetchall())
    return sums


def test_every_record(broker, acked, folder):
    for codec in CODECS:
        acked.send(codec, "odd", odd_records(240))
    acked.send("none", "odd", [(b"large", os.urandom(10 << 20), [], 1)])
    time.sleep(2.5)  # The broker flushes within a second; what it has not, the last export brings.
    export(broker.store, "odd", folder / "odd")
    check_exact_rows = {row[:2] for row in by_duckdb(folder / "odd")}
    assert check_exact_rows <= {row[:2] for row in acked.rows("odd")}
    print(f"ok while the broker runs: {len(check_exact_rows)} of {len(acked.rows('odd'))} rows")


def test_after_the_broker(broker, acked, folder):
    export(broker.store, "odd", folder / "odd")
    check_same(folder / "odd", acked.rows("odd"))
    before = sorted(folder.glob("odd/**/*.parquet"))
    export(broker.store, "odd", folder / "odd")
    assert sorted(folder.glob("odd/**/*.parquet")) == before, "a run that has nothing new adds nothing"
    sizes = [pyarrow.parquet.read_metadata(file) for file in before]
    assert all(metadata.row_group(0).column(0).compression == "ZSTD" and metadata.row_group(0).column(1).statistics for metadata in sizes)
    print(f"ok {len(acked.rows('odd'))} odd records, all codecs, 10 MiB in one, by {', '.join(ENGINES)}")


def test_tiny(broker, acked, folder):
    began = time.monotonic()
    export(broker.store, "tiny", folder / "tiny")
    took = time.monotonic() - began
    for partition in range(PARTITIONS):
        known = acked.records[("tiny", partition)]
        found = duckdb.sql(
            f"select \"offset\", key, value from read_parquet('{folder}/tiny/**/*.parquet') where partition = {partition} order by 1"
        ).fetchall()
        assert found == [(offset, record[1], record[2]) for offset, record in sorted(known.items())], f"partition {partition}"
    print(f"ok {TINY} tiny records in {took:.1f} s")


def test_kills(broker, acked, folder):
    sums, chance, target = hashes_of(acked, "tiny"), random.Random(SEED), folder / "killed"
    command = [FLOE, "export", "tiny", "--store", broker.store, "--to", f"file://{target}", "--file-size", "1MiB"]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    took, middle, target = time.monotonic() - began, 0, folder / "killed-again"
    command[6] = f"file://{target}"
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.0, took))
        process.kill()
        process.wait()
        rows = check_exact(target, sums)
        middle += 0 < rows < TINY
        if rows == TINY:
            # Whole: begin again elsewhere.
            target = folder / f"killed-{chance.random()}"
            command[6] = f"file://{target}"
    subprocess.run(command, check=True, capture_output=True)
    assert check_exact(target, sums) == TINY
    print(f"ok {KILLS} exporters killed, the table read after each; it was there in part {middle} times (seed {SEED})")


def test_races(broker, acked, folder):
    sums, lost = hashes_of(acked, "tiny"), 0
    for round in range(3):
        target = folder / f"raced-{round}"
        command = [FLOE, "export", "tiny", "--store", broker.store, "--to", f"file://{target}", "--json"]
        sizes = ["1MiB", "1MiB", "2MiB"]
        racers = [subprocess.Popen([*command, "--file-size", size], stdout=subprocess.PIPE, text=True) for size in sizes]
        while any(racer.poll() is None for racer in racers):
            check_exact(target, sums)
        reports = [json.loads(racer.communicate()[0]) for racer in racers]
        assert check_exact(target, sums) == TINY
        assert sum(report["rows"] for report in reports) == TINY, reports
        lost += sum(report["lost"] for report in reports)
    print(f"ok 3 races of 3 exporters, the table read all the time; {lost} files were thrown away")


def test_follow(broker, acked, folder):
    """Records arrive while it follows; each is in the table some seconds later, and it is stopped as any process is."""
    target, seen = folder / "followed", []
    command = [FLOE, "export", "followed", "--store", broker.store, "--to", f"file://{target}", "--follow", "1s"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for batch in range(5):
            acked.send("none", "followed", ((b"k", b"%d" % (batch * 100 + n), [], n % PARTITIONS) for n in range(100)))
            began = time.monotonic()
            while not any(target.glob("**/*.parquet")) or len(by_duckdb(target)) < (batch + 1) * 100:
                assert time.monotonic() - began < 60 and process.poll() is None, "it does not come"
                time.sleep(0.05)
            seen.append(time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(30)
    check_same(target, acked.rows("followed"))
    print(f"ok a follower with 1 s: seen after {', '.join(f'{took:.1f}' for took in seen)} s")


SCHEMA = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "where", "type": {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "double"}, {"name": "y", "type": "float"}]}},
        {"name": "raw", "type": {"type": "fixed", "name": "Four", "size": 4}},
    ],
}


def order(n):
    return {
        "id": n * 10**12,
        "name": None if n % 3 == 0 else f"näme {n}",
        "price": decimal.Decimal(n * (-1) ** n) / 100,
        "day": datetime.date(1969, 12, 1) + datetime.timedelta(days=n),
        "at": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=n),
        "tags": [f"t{i}" for i in range(n % 4)],
        "counts": {f"k{i}": i for i in range(n % 3)},
        "kind": "AB"[n % 2],
        "where": {"x": n / 7, "y": n / 2},
        "raw": n.to_bytes(4, "big"),
    }


def test_avro(broker, acked, folder):
    parsed, orders = fastavro.parse_schema(SCHEMA), [order(n) for n in range(500)]

    def encoded(value):
        out = io.BytesIO()
        out.write(b"\0\0\0\0\7")
        fastavro.schemaless_writer(out, parsed, value)
        return out.getvalue()

    acked.send("zstd", "avro", ((None, encoded(value), [], 0) for value in orders))
    time.sleep(2.5)
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    export(broker.store, "avro", folder / "avro", "--mode", "avro", "--schema", f"7={folder}/order.avsc", "--drop-value")
    files = sorted(map(str, folder.glob("avro/**/*.parquet")))
    names = [field["name"] for field in SCHEMA["fields"]]
    by_pyarrow = pyarrow.dataset.dataset(files).to_table()
    assert by_pyarrow["_error"].null_count == by_pyarrow.num_rows, by_pyarrow["_error"].drop_null()[:3]
    rows = [{**row, "counts": dict(row["counts"])} for row in by_pyarrow.select(names).to_pylist()]
    assert rows[: len(rows)] == orders[: len(rows)] and rows, "pyarrow"
    found = duckdb.sql(f"select id, name, price, day, epoch_us(\"at\"), tags, kind, raw from read_parquet({files}) order by id").fetchall()
    micros = lambda at: round(at.timestamp() * 1_000_000)  # noqa: E731
    known = [(o["id"], o["name"], o["price"], o["day"], micros(o["at"]), o["tags"], o["kind"], o["raw"]) for o in orders[: len(rows)]]
    assert found == known, "DuckDB"
    assert polars.read_parquet(files).select("id", "name", "day", "kind").rows() == [(o["id"], o["name"], o["day"], o["kind"]) for o in orders[: len(rows)]]
    print(f"ok {len(rows)} values of Avro, as fastavro wrote them")


def test_json(broker, acked, folder):
    first = [{"id": n, "name": f"näme {n}", "price": n / 4, "tags": ["a"] * (n % 3), "at": {"x": n}} for n in range(300)]
    second = [{"id": n, "new": n % 2 == 0, "at": {"x": n, "y": "z"}} for n in range(300, 400)]
    for values in (first, second):
        acked.send("none", "json", ((None, json.dumps(value).encode(), [], 0) for value in values))
        # What contradicts a column once it has a type.
        acked.send("none", "json", [(None, b"{broken", [], 0), (None, b'{"id": "text"}', [], 0)] if values is second else [])
        time.sleep(2.5)
        export(broker.store, "json", folder / "json", "--mode", "json")
    glob = f"read_parquet('{folder}/json/**/*.parquet', union_by_name=true)"
    good = f"from {glob} where _error is null order by \"offset\""
    found = duckdb.sql(f"select id, name, price, coalesce(tags, []), \"at\".x, \"new\" {good}").fetchall()
    known = [(v["id"], v.get("name"), v.get("price"), v.get("tags", []), v["at"]["x"], v.get("new")) for v in first + second]
    assert found == known, f"DuckDB: {found[:2]} {known[:2]}"
    # Every text is there as it was, and what did not fit says so.
    texts = duckdb.sql(f"select value, _error.value from {glob} order by \"offset\"").fetchall()
    sent = [record[2] for _, record in sorted(acked.records[("json", 0)].items())]
    assert [text.encode() for text, _ in texts] == sent
    assert [raw for _, raw in texts if raw is not None] == [value for value in sent if value in (b"{broken", b'{"id": "text"}')]
    print(f"ok {len(found)} values of JSON, with columns that came later")


def main():
    print(f"seed {SEED}; pyarrow {pyarrow.__version__}, DuckDB {duckdb.__version__}, Polars {polars.__version__}")
    with tempfile.TemporaryDirectory(prefix="floe-tables-") as folder:
        folder = Path(folder)
        broker = Broker(folder)
        try:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
            config = {"max.message.bytes": "20000000"}
            topics = [NewTopic(name, PARTITIONS, config=config) for name in ("odd", "tiny", "json", "avro", "followed")]
            for made in admin.create_topics(topics).values():
                made.result(30)
            acked = Acked(broker.port)
            acked.send("lz4", "tiny", ((b"%d" % (n % 1000), b"%d %s" % (n, os.urandom(40).hex().encode()), [], n % PARTITIONS) for n in range(TINY)))
            test_every_record(broker, acked, folder)
            test_json(broker, acked, folder)
            test_avro(broker, acked, folder)
            test_follow(broker, acked, folder)
            broker.stop()
            test_after_the_broker(broker, acked, folder)
            test_tiny(broker, acked, folder)
            test_races(broker, acked, folder)
            test_kills(broker, acked, folder)
        finally:
            if broker.process.poll() is None:
                broker.process.kill()
                broker.process.wait()
    print("tables: passed")


if __name__ == "__main__":
    main()

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
import http.server
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import packages  # noqa: E402

TARGET = packages.TARGET
PACKAGES = ["confluent-kafka==2.16.0", "duckdb==2.0.1", "fastavro==1.13.1", "polars==2.1.0", "pyarrow==26.0.1"]
packages.enter("venv-tables", PACKAGES)

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
    def __init__(self, folder, *more):
        self.data, self.port = folder / "data", free_port()
        self.store = f"file://{self.data}/store"
        self.admin_port = free_port()
        listen = ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}"]
        self.log = open(folder / "broker.log", "wb")
        command = [FLOE, "serve", "--data", str(self.data), *listen, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        if not self.process.stdout.readline():
            raise SystemExit(f"the broker did not start: {(folder / 'broker.log').read_text()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0, "the broker did not drain"

    def kill(self):
        self.process.kill()
        self.process.wait()


class Acked:
    """What the broker has acknowledged: by (topic, partition), offset -> (timestamp, key, value, headers)."""

    def __init__(self, *ports):
        self.ports, self.records = ports, {}

    def producer(self, codec):
        bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        settings = {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20}
        return Producer({**settings, "message.max.bytes": 20_000_000, "queue.buffering.max.kbytes": 1 << 20, "acks": "all"})

    def send(self, codec, topic, records):
        producer = self.producer(codec)

        def acked(sent, error, message):
            assert error is None, error
            known = self.records.setdefault((topic, message.partition()), {})
            assert message.offset() not in known
            known[message.offset()] = (message.timestamp()[1], *sent)

        for key, value, headers, partition, *at in records:
            timed = {"timestamp": at[0]} if at else {}
            while True:
                try:
                    told = functools.partial(acked, (key, value, headers))
                    producer.produce(topic, value=value, key=key, headers=headers, partition=partition, on_delivery=told, **timed)
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


def newest_list(target, kind="list"):
    """The files of the merged table as docs/export.md finds them in Python, or of the newest versions."""
    newest = max(target.glob(f"_floe/*/{kind}/*.json"))
    return [str(target / file["key"]) for file in json.loads(newest.read_text())["files"]]


def duckdb_merged(target):
    """The same in SQL: what to read from."""
    session = duckdb.connect()
    session.sql(f"set variable newest = (select max(file) from glob('{target}/_floe/*/list/*.json'))")
    session.sql(
        f"set variable files = (select list('{target}/' || file.key) from "
        "(select unnest(files) as file from read_json(getvariable('newest'))))"
    )
    return session


def merged_by_pyarrow(target):
    table = pyarrow.dataset.dataset(newest_list(target), format="parquet").to_table(columns=COLUMNS)
    columns = [table[name].cast("int64").to_pylist() if name == "timestamp" else table[name].to_pylist() for name in COLUMNS]
    return list(plain(zip(*columns)))


def merged_by_duckdb(target):
    found = duckdb_merged(target).sql(
        "select partition, \"offset\", epoch_ms(timestamp), key, value, headers from read_parquet(getvariable('files'), union_by_name = true)"
    )
    return list(plain(found.fetchall()))


def merged_by_polars(target):
    table = polars.concat([polars.scan_parquet(file) for file in newest_list(target)], how="diagonal_relaxed")
    found = table.select(COLUMNS).with_columns(polars.col("timestamp").dt.epoch("ms")).collect()
    return list(plain(found.iter_rows()))


MERGED_ENGINES = {"pyarrow": merged_by_pyarrow, "DuckDB": merged_by_duckdb, "Polars": merged_by_polars}


def check_same(target, expected, engines=ENGINES):
    for name, read in engines.items():
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
    end = 100_000 // PARTITIONS
    command = [FLOE, "export", "tiny", "--store", broker.store, "--to", f"file://{target}", "--file-size", "1MiB", "--until", f"offset:{end}"]
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
        middle += 0 < rows < end * PARTITIONS
        if rows == end * PARTITIONS:
            # Whole: begin again elsewhere.
            shutil.rmtree(target)
            target = folder / f"killed-{chance.random()}"
            command[6] = f"file://{target}"
    subprocess.run(command, check=True, capture_output=True)
    assert check_exact(target, sums) == end * PARTITIONS
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
    command = [FLOE, "export", "followed", "--store", broker.store, "--to", f"file://{target}", "--follow", "1s", "--merge"]
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


def check_first(target, expected):
    """Of each partition the table has the first records, and nothing else. Whether these are all."""
    there = sorted(by_duckdb(target), key=lambda row: row[:2]) if any(target.glob("**/*.parquet")) else []
    for partition in range(PARTITIONS):
        rows, known = ([row for row in all_rows if row[0] == partition] for all_rows in (there, expected))
        assert rows == known[: len(rows)], f"partition {partition}: {len(rows)} rows of {len(known)}"
    return len(there) == len(expected)


def wait_for(target, expected):
    began = time.monotonic()
    while not check_first(target, expected):
        assert time.monotonic() - began < 60, "it does not come"
        time.sleep(0.1)
    check_same(target, expected)


def test_by_brokers(folder):
    """A topic that asks for it is exported by its brokers, and nobody runs `floe export`: they are killed (kill -9), and deposed while they are
    stopped (SIGSTOP) and wake. The table is exact throughout, and complete in the end."""
    chance, target, lives, partly = random.Random(SEED), folder / "lake", 20 if FULL else 4, 0
    settings = ["--store", f"file://{folder}/store-of-lake", "-o", f"floe.export.targets=file://{target}", "--take-over"]
    homes = [folder / "home-0", folder / "home-1"]
    for home in homes:
        home.mkdir()
    broker, stopped = Broker(homes[0], *settings), None
    asks = {"floe.export": "parquet", "floe.export.freshness.ms": "200", "floe.export.merge": "true", "floe.durability": "object"}
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
    for made in admin.create_topics([NewTopic("asked", PARTITIONS, config=asks)]).values():
        made.result(30)
    acked = Acked(broker.port)
    try:
        for life in range(lives):
            acked.ports = [broker.port]
            for n in range(5):
                acked.send("lz4", "asked", ((b"k", b"%d %d %d" % (life, n, at), [], at % PARTITIONS) for at in range(300)))
                time.sleep(chance.uniform(0.0, 0.3))
            if stopped is not None:
                stopped.process.send_signal(signal.SIGCONT)
                time.sleep(0.5)
                stopped.kill()
                stopped = None
            elif life % 2:
                stopped = broker
                stopped.process.send_signal(signal.SIGSTOP)
            if stopped is None:
                broker.kill()
            partly += not check_first(target, acked.rows("asked"))
            homes.reverse()
            broker = Broker(homes[0], *settings)
        wait_for(target, acked.rows("asked"))
        assert newest_list(target), "small files were merged"
    finally:
        for process in filter(None, (broker, stopped)):
            process.kill()
    files = len(list(target.glob("**/*.parquet")))
    print(f"ok {len(acked.rows('asked'))} records exported by {lives + 1} brokers, killed or deposed, in part {partly} times: {files} files")


def tell_freshness(folder):
    """A minute of records, exported as topics are that say nothing of it: the time from when each was produced to when its file was there."""
    target, home = folder / "fresh", folder / "home-fresh"
    home.mkdir()
    broker = Broker(home, "-o", f"floe.export.targets=file://{target}")
    try:
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
        for made in admin.create_topics([NewTopic("fresh", PARTITIONS, config={"floe.export": "parquet"})]).values():
            made.result(30)
        acked, began = Acked(broker.port), time.monotonic()
        while time.monotonic() - began < 60:
            acked.send("none", "fresh", ((b"k", os.urandom(1000), [], n % PARTITIONS) for n in range(30)))
            time.sleep(0.1)
        wait_for(target, acked.rows("fresh"))
    finally:
        broker.kill()
    took = []
    for file in target.glob("**/*.parquet"):
        there = file.stat().st_mtime
        took += [there - at / 1000 for at in pyarrow.parquet.read_table(file, columns=["timestamp"])["timestamp"].cast("int64").to_pylist()]
    took.sort()
    middle, late = took[len(took) // 2], took[len(took) * 99 // 100]
    print(f"ok {len(took)} records exported as by default: in the table after {middle:.1f} s (median), {late:.1f} s (p99), {took[-1]:.1f} s at most")


def start_etcd(folder):
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    return client, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_by_a_cluster(folder):
    """Three brokers of a cluster, each of which exports what it leads: one after another is killed, others go on with its partitions."""
    if not shutil.which("etcd"):
        print("SKIP exports by a cluster: no etcd: apt-get install etcd-server")
        return
    chance, target, lives, partly = random.Random(SEED), folder / "lake-of-cluster", 10 if FULL else 1, 0
    url, etcd = start_etcd(folder)
    more = ["--store", f"file://{folder}/store-of-cluster", "--etcd", url, "-o", f"floe.export.targets=file://{target}"]

    def start(number):
        home = folder / f"member-{number}"
        home.mkdir(exist_ok=True)
        return Broker(home, *more, "--broker-id", str(number))

    brokers = {}
    try:
        brokers.update((number, start(number)) for number in (1, 2, 3))
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{brokers[1].port}"})
        asks = {"floe.export": "parquet", "floe.export.freshness.ms": "300"}
        for made in admin.create_topics([NewTopic("asked", PARTITIONS, config=asks)]).values():
            made.result(30)
        acked = Acked()
        for _ in range(lives):
            acked.ports = [broker.port for broker in brokers.values()]
            for n in range(6):
                acked.send("lz4", "asked", ((b"k", b"%d %d" % (n, at), [], at % PARTITIONS) for at in range(300)))
                time.sleep(chance.uniform(0.0, 0.3))
                if n == 2:
                    victim = chance.choice(list(brokers))
                    brokers[victim].kill()
                    partly += not check_first(target, acked.rows("asked"))
            check_first(target, acked.rows("asked"))
            brokers[victim] = start(victim)
        wait_for(target, acked.rows("asked"))
    finally:
        for process in brokers.values():
            process.kill()
        etcd.kill()
        etcd.wait()
    print(f"ok {len(acked.rows('asked'))} records exported by a cluster, {lives} of whose brokers were killed, in part {partly} times")


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as an export asks for. `careless`: it takes "only if absent" for "always"."""

    protocol_version, objects, careless = "HTTP/1.1", {}, False

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', "Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def do_PUT(self):
        body, key = self.rfile.read(int(self.headers["Content-Length"])), self.path.split("?")[0]
        if self.headers.get("If-None-Match") == "*" and key in self.objects and not self.careless:
            return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        self.objects[key] = body
        self.answer(200)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if "list-type" in asked:
            root, prefix, after = "/bucket/", asked.get("prefix", ""), asked.get("start-after", "")
            keys = sorted(key[len(root) :] for key in self.objects if key.startswith(root + prefix) and key[len(root) :] > after)
            stamp = "<LastModified>2026-11-30T00:00:00.000Z</LastModified><ETag>1</ETag>"
            rows = "".join(f"<Contents><Key>{key}</Key><Size>{len(self.objects[root + key])}</Size>{stamp}</Contents>" for key in keys)
            body = f"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated><KeyCount>{len(keys)}</KeyCount>{rows}</ListBucketResult>"
            return self.answer(200, body.encode())
        body = self.objects.get(path)
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self.answer(200, body)
        start, end = int(wanted[1] or 0), min(int(wanted[2]) + 1 if wanted[2] else len(body), len(body))
        self.answer(206, body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(body)}")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_targets_that_overwrite(broker, acked, folder):
    """A bucket without conditional creates is refused before a file is there; the same one with them is not."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"s3.endpoint=http://127.0.0.1:{server.server_port}"
    settings = [endpoint, "s3.region=us-east-1", "s3.access.key.id=a", "s3.secret.access.key=b"]
    command = [FLOE, "export", "odd", "--store", broker.store, "--to", "s3://bucket/tables", "--json"]
    for setting in settings:
        command += ["-o", setting]
    for careless in (True, False):
        Bucket.objects, Bucket.careless = {}, careless
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        files = [key for key in Bucket.objects if key.endswith(".parquet")]
        if careless:
            assert done.returncode == 4 and "not safe for an export" in done.stderr and not files, f"{done.returncode}: {done.stderr}"
        else:
            assert done.returncode == 0 and json.loads(done.stdout)["rows"] == len(acked.rows("odd")) and files, f"{done.returncode}: {done.stderr}"
    server.shutdown()
    print("ok a bucket that overwrites is refused, and one that does not is exported to")


def test_merged(broker, acked, folder):
    """Exported in many small pieces, and merged; killed, raced. The merged table by its list, and the root's glob, which has nothing of it."""
    target, expected, chance = folder / "merged", acked.rows("odd"), random.Random(SEED)
    end = 1 + max(row[1] for row in expected)
    for until in range(end // 8, end, end // 8):
        export(broker.store, "odd", target, "--until", f"offset:{until}")
    export(broker.store, "odd", target)
    small = len(list(target.glob("**/*.parquet")))
    command = [FLOE, "export", "odd", "--store", broker.store, "--to", f"file://{target}", "--merge", "--json"]
    for _ in range(KILLS // 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.0, 0.5))
        process.kill()
        process.wait()
        assert not list(target.glob("_floe/*/list/*.json")) or sorted(merged_by_duckdb(target), key=lambda row: row[:2]) == expected
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    reports = [json.loads(racer.communicate()[0])["merged"] for racer in racers]
    assert len({report["list"] for report in reports}) == 1 and all(racer.returncode == 0 for racer in racers), reports
    check_same(target, expected, MERGED_ENGINES)
    check_same(target, expected)
    large = len(newest_list(target))
    assert small >= 3 * 8 and large == PARTITIONS == len(list(target.glob("_floe/*/merged/**/*.pq"))), f"{small} files, then {large}"
    print(f"ok {len(expected)} odd records in {small} files merged into {large}, by {', '.join(MERGED_ENGINES)}, {KILLS // 4} mergers killed, 3 raced")


def test_merged_columns(broker, acked, folder):
    """Columns that came later, and those of Avro: the merged table says what the plain one does."""
    for topic in ("json", "avro"):
        target = folder / topic
        export(broker.store, topic, target, "--merge", *(["--schema", f"7={folder}/order.avsc"] if topic == "avro" else []))
        plain_rows = duckdb.sql(f"select * from read_parquet('{target}/**/*.parquet', union_by_name = true) order by partition, \"offset\"")
        merged = duckdb_merged(target).sql(
            "select * from read_parquet(getvariable('files'), union_by_name = true) order by partition, \"offset\""
        )
        names = sorted(plain_rows.columns)
        assert sorted(merged.columns) == names, f"{merged.columns}, not {names}"
        ordered = [", ".join(f'"{name}"' for name in names)]
        rows, known = (found.project(*ordered).fetchall() for found in (merged, plain_rows))
        assert rows == known and rows, f"{topic}: DuckDB"
        files = newest_list(target)
        table = polars.concat([polars.scan_parquet(file) for file in files], how="diagonal_relaxed").sort("partition", "offset").collect()
        globbed = sorted(map(str, target.glob("**/*.parquet")))
        separate = polars.concat([polars.scan_parquet(file) for file in globbed], how="diagonal_relaxed").sort("partition", "offset").collect()
        assert table.select(names).equals(separate.select(names)), f"{topic}: Polars"
        assert len(globbed) == 2 and len(files) == 1, f"{topic}: {globbed}, then {files}"
        print(f"ok {len(rows)} rows with {len(names)} columns of {topic}: {len(globbed)} files merged into {len(files)}")


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
    for until in ("offset:200", "end"):
        export(broker.store, "avro", folder / "avro", "--mode", "avro", "--schema", f"7={folder}/order.avsc", "--drop-value", "--until", until)
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


DAYS = [datetime.datetime(2026, 11, day, tzinfo=datetime.timezone.utc) for day in (28, 29, 30)]


def send_days(acked):
    """Two batches a day."""
    for half in range(2 * len(DAYS)):
        at = int(DAYS[half // 2].timestamp()) * 1000 + half % 2 * 3_600_000
        acked.send("none", "dates", ((b"k", b"%d" % n, [], n % PARTITIONS, at + n) for n in range(20 * PARTITIONS)))


def test_layouts(broker, acked, folder):
    """Folders by date and by partition, as engines know them, of the plain table and of the merged one."""
    for layout in ("date", "partition"):
        for half in range(2 * len(DAYS)):
            export(broker.store, "dates", folder / layout, "--layout", layout, "--until", f"offset:{20 * (half + 1)}")
        export(broker.store, "dates", folder / layout, "--merge")
    rows, days = acked.rows("dates"), {f"{day:%Y-%m-%d}": int(day.timestamp()) // 86400 for day in DAYS}
    known = {
        "date": {name: sorted(row[:2] for row in rows if row[2] // 86_400_000 == day) for name, day in days.items()},
        "partition": {partition: sorted(row[:2] for row in rows if row[0] == partition) for partition in range(PARTITIONS)},
    }
    for layout, parts in known.items():
        globbed, listed = sorted(map(str, (folder / layout).glob("**/*.parquet"))), newest_list(folder / layout)
        assert len(listed) < len(globbed) and all(f"/{layout}=" in file for file in listed)
        for part, expected in parts.items():
            for files in (globbed, listed):
                of_duckdb = duckdb.sql(f"select partition, \"offset\" from read_parquet({files}, hive_partitioning=true) where \"{layout}\" = '{part}'")
                assert sorted(of_duckdb.fetchall()) == expected, f"DuckDB: {layout}={part}"
                of_polars = polars.scan_parquet(files, hive_partitioning=True, try_parse_hive_dates=False).filter(polars.col(layout) == part)
                assert sorted(of_polars.select("partition", "offset").collect().rows()) == expected, f"Polars: {layout}={part}"
                of_pyarrow = pyarrow.dataset.dataset(files, format="parquet", partitioning="hive")
                table = of_pyarrow.to_table(columns=["partition", "offset"], filter=pyarrow.dataset.field(layout) == part)
                assert sorted(zip(*(column.to_pylist() for column in table.columns))) == expected, f"pyarrow: {layout}={part}"
        print(f"ok folders by {layout}, in {len(globbed)} files and {len(listed)} merged, by {', '.join(ENGINES)}")


def send_versions(acked):
    for batch in range(4):
        # A key is of one partition; some are deleted, and some of those come back.
        every = ((b"key %d" % (n % 31), None if (n + batch) % 5 == 0 else b"%d of %d" % (n, batch), [], n % 31 % PARTITIONS) for n in range(90))
        acked.send("none", "latest", every)


def test_latest(broker, acked, folder):
    """The newest version of each key, as `--latest` makes it, and as docs/export.md finds it in the table."""
    export(broker.store, "latest", folder / "latest", "--merge")
    newest = {row[3]: row for row in acked.rows("latest")}
    expected = sorted((row[0], row[1], row[3], row[4]) for row in newest.values() if row[4] is not None)
    columns = ["partition", "offset", "key", "value"]
    made = json.loads(export(broker.store, "latest", folder / "latest", "--latest", "--json"))["latest"]
    assert made["rows"] == len(expected) and made["files"] == PARTITIONS, made
    files = newest_list(folder / "latest", "latest")
    tables = {
        "DuckDB": duckdb.sql(f"select partition, \"offset\", key, value from read_parquet({files})").fetchall(),
        "Polars": polars.scan_parquet(files).select(columns).collect().rows(),
        "pyarrow": zip(*(column.to_pylist() for column in pyarrow.dataset.dataset(files, format="parquet").to_table(columns=columns).columns)),
    }
    for name, rows in tables.items():
        assert sorted(rows) == expected, f"{name}, by --latest"
    for files in (sorted(map(str, (folder / "latest").glob("**/*.parquet"))), newest_list(folder / "latest")):
        of_duckdb = duckdb.sql(
            "select partition, \"offset\", key, value from (select * from read_parquet(" + str(files) + ") "
            "qualify row_number() over (partition by partition, key order by \"offset\" desc) = 1) where value is not null"
        )
        assert sorted(of_duckdb.fetchall()) == expected, "DuckDB"
        rows = polars.scan_parquet(files).sort("offset").unique(["partition", "key"], keep="last").filter(polars.col("value").is_not_null())
        assert sorted(rows.select(columns).collect().rows()) == expected, "Polars"
        table = pyarrow.dataset.dataset(files, format="parquet").to_table(columns=columns)
        last = table.group_by(["partition", "key"]).aggregate([("offset", "max")]).rename_columns({"offset_max": "offset"})
        rows = [row for row in table.join(last, ["partition", "key", "offset"], join_type="inner").select(columns).to_pylist() if row["value"] is not None]
        assert sorted(tuple(row.values()) for row in rows) == expected, "pyarrow"
    print(f"ok the newest of {len(newest)} keys, {len(expected)} of which are not deleted, by {', '.join(ENGINES)}")


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
            topics = [NewTopic(name, PARTITIONS, config=config) for name in ("odd", "tiny", "json", "avro", "followed", "dates", "latest")]
            for made in admin.create_topics(topics).values():
                made.result(30)
            acked = Acked(broker.port)
            acked.send("lz4", "tiny", ((b"%d" % (n % 1000), b"%d %s" % (n, os.urandom(40).hex().encode()), [], n % PARTITIONS) for n in range(TINY)))
            test_every_record(broker, acked, folder)
            test_json(broker, acked, folder)
            test_avro(broker, acked, folder)
            test_follow(broker, acked, folder)
            send_days(acked)
            send_versions(acked)
            broker.stop()
            test_layouts(broker, acked, folder)
            test_latest(broker, acked, folder)
            test_after_the_broker(broker, acked, folder)
            test_tiny(broker, acked, folder)
            test_targets_that_overwrite(broker, acked, folder)
            test_merged(broker, acked, folder)
            test_merged_columns(broker, acked, folder)
            test_by_brokers(folder)
            test_by_a_cluster(folder)
            if FULL:
                tell_freshness(folder)
            test_races(broker, acked, folder)
            test_kills(broker, acked, folder)
        finally:
            if broker.process.poll() is None:
                broker.process.kill()
                broker.process.wait()
    print("tables: passed")


if __name__ == "__main__":
    main()

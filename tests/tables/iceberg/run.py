#!/usr/bin/env python3
"""Exports as Iceberg tables, by `floe iceberg append` of a program that is built with the feature `iceberg`; read back by pyiceberg and
DuckDB: python3 tests/tables/iceberg/run.py

Every acknowledged record is there once: while appenders race and are killed, with columns that come later, with snapshots of another writer
between, and after a rollback. FLOE_TEST_SEED repeats a run's choices;
FLOE_TEST_ICEBERG is a program that is built so already.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TABLES = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TABLES), str(TABLES / "python")]
import packages  # noqa: E402

# DuckDB of the version whose extensions PyPI has.
DUCKDB = [f"{name}==1.5.5" for name in ("duckdb", "duckdb-extensions", "duckdb-extension-avro", "duckdb-extension-iceberg")]
OF_TABLES = ["confluent-kafka==2.16.0", *DUCKDB, "fastavro==1.13.1", "polars==2.1.0", "pyarrow==26.0.1"]
packages.enter("venv-iceberg", ["pyiceberg[sql-sqlite]==0.12.0", *OF_TABLES])


def built():
    """The program with Iceberg in it, kept apart from the one that has not."""
    program = packages.TARGET / "iceberg/floe"
    if os.environ.get("FLOE_TEST_ICEBERG"):
        return os.environ["FLOE_TEST_ICEBERG"]
    command = ["cargo", "build", "--locked", "--quiet", "--package", "floe", "--features", "iceberg"]
    subprocess.run(command, cwd=packages.TARGET.parent, check=True)
    program.parent.mkdir(exist_ok=True)
    program.unlink(missing_ok=True)
    os.link(packages.TARGET / "debug/floe", program)
    return str(program)


os.environ["FLOE_TEST_BROKER"] = built()
import duckdb  # noqa: E402
from duckdb_extensions import import_extension  # noqa: E402
import run as suite  # noqa: E402
from pyarrow import parquet  # noqa: E402
from pyiceberg.catalog.sql import SqlCatalog  # noqa: E402

RACERS, KILLS = 3, 20
SEED = int(os.environ.get("FLOE_TEST_SEED") or random.randrange(1 << 32))


class Lake:
    """An export's place, a catalog and a warehouse."""

    def __init__(self, folder, broker):
        self.folder, self.broker = folder, broker
        self.database, self.warehouse = folder / "catalog.db", f"file://{folder}/warehouse"
        self.export = folder / "exported"

    def exported(self, topic, *more):
        suite.export(self.broker.store, topic, self.export / topic, *more)

    def command(self, topic):
        places = ["--from", f"file://{self.export}/{topic}", "--warehouse", self.warehouse, "--catalog", f"sqlite://{self.database}"]
        return [suite.FLOE, "iceberg", "append", topic, "--table", f"lake.{topic}", *places, "--json"]

    def append(self, topic):
        done = subprocess.run(self.command(topic), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def catalog(self):
        return SqlCatalog("floe", uri=f"sqlite:///{self.database}", warehouse=self.warehouse)

    def exists(self, topic):
        return self.catalog().table_exists(("lake", topic))

    def table(self, topic):
        return self.catalog().load_table(("lake", topic))

    def rows(self, topic):
        columns = ("partition", "offset", "key", "value")
        found = self.table(topic).scan(selected_fields=columns).to_arrow()
        return sorted(zip(*(found[name].to_pylist() for name in columns)))


def plain(acked, topic):
    return sorted((partition, offset, key, value) for partition, offset, _, key, value, _ in acked.rows(topic))


def send(acked, topic, numbers):
    acked.send("zstd", topic, ((b"k%d" % n, b"value %d" % n, [], n % suite.PARTITIONS) for n in numbers))


def flushed(lake, topic, count, *more):
    """Exports until all of so many records are there: the broker flushes when it does."""
    for _ in range(100):
        lake.exported(topic, *more)
        if sum(parquet.read_metadata(file).num_rows for file in (lake.export / topic).glob("**/*.parquet")) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(f"{topic} is not in the store")


def test_append(lake, acked):
    """Twice the same, then more."""
    total = 0
    for round in range(3):
        send(acked, "plain", range(300 * round, 300 * (round + 1)))
        total += 300
        flushed(lake, "plain", total)
        first, again = lake.append("plain"), lake.append("plain")
        assert first["rows"] == 300 and again["rows"] == 0, (first, again)
        assert lake.rows("plain") == plain(acked, "plain")
    table = lake.table("plain")
    later = table.scan(row_filter="offset >= 250", selected_fields=("offset",))
    assert 0 < len(list(later.plan_files())) < len(list(table.scan().plan_files())), "bounds leave files out"
    assert table.scan(row_filter="timestamp > '2020-01-01T00:00:00+00:00'").to_arrow().num_rows == total
    print(f"ok {total} records by {len(table.snapshots())} snapshots, none twice")


def test_by_duckdb(lake, acked):
    for extension in ("avro", "iceberg"):
        import_extension(extension)
    place = lake.table("plain").metadata_location
    found = duckdb.sql(f"load iceberg; select partition, \"offset\", key, value from iceberg_scan('{place}')").fetchall()
    assert sorted(found) == plain(acked, "plain")
    pruned = duckdb.sql(f"select count(*) from iceberg_scan('{place}') where \"offset\" < 100 and timestamp > '2020-01-01'").fetchall()
    assert pruned == [(sum(row[1] < 100 for row in found),)]
    print(f"ok the same {len(found)} records by DuckDB {duckdb.__version__}")


def test_columns(lake, acked):
    """Fields that come later, within structs as well, and values without them."""
    first = [{"id": n, "at": {"x": n}} for n in range(30)]
    second = [{"id": n, "at": {"x": n, "y": n / 2}, "name": f"n{n}", "tags": ["a"] * (n % 3)} for n in range(30, 60)]
    for values, total in ((first, 30), (second, 60)):
        acked.send("none", "json", ((None, json.dumps(value).encode(), [], 0) for value in values))
        flushed(lake, "json", total, "--mode", "json")
        while lake.append("json")["rows"]:
            pass
    found = sorted(lake.table("json").scan().to_arrow().to_pylist(), key=lambda row: row["offset"])
    assert len(found) == 60, len(found)
    for row, value in zip(found, first + second, strict=True):
        at = {"x": value["at"]["x"], "y": value["at"].get("y")}
        assert (row["id"], row["at"], row["name"]) == (value["id"], at, value.get("name")), row
        assert (row["tags"] or []) == value.get("tags", []), row
    place = lake.table("json").metadata_location
    by_duckdb = duckdb.sql(f"select id, \"at\", name from iceberg_scan('{place}') order by \"offset\"").fetchall()
    assert by_duckdb == [(row["id"], row["at"], row["name"]) for row in found], by_duckdb[:3]
    print("ok columns that came later, and one within a struct")


def test_races_and_kills(lake, acked):
    chance, total = random.Random(SEED), 0
    racers = []
    for round in range(KILLS):
        send(acked, "raced", range(total, total + 60))
        total += 60
        lake.exported("raced", "--file-size", "1MiB")
        racers = [subprocess.Popen(lake.command("raced"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(RACERS)]
        time.sleep(chance.uniform(0, 0.4))
        racers[chance.randrange(RACERS)].send_signal(signal.SIGKILL)
        for racer in racers:
            code, said = racer.wait(120), racer.stderr.read().decode()
            assert code in (0, -signal.SIGKILL), f"round {round}: {code}: {said}"
        if lake.exists("raced"):
            offsets = [row[:2] for row in lake.rows("raced")]
            assert len(offsets) == len(set(offsets)), f"round {round}: a record is there twice"
    flushed(lake, "raced", total)
    lake.append("raced")
    assert lake.rows("raced") == plain(acked, "raced")
    print(f"ok {total} records, {RACERS} appenders racing, one of them killed, {KILLS} times")


def test_other_writers(lake, acked):
    """A delete by somebody else between, and a rollback: what was appended since is appended once more."""
    send(acked, "shared", range(90))
    flushed(lake, "shared", 90)
    lake.append("shared")
    before = lake.table("shared").current_snapshot().snapshot_id
    lake.table("shared").delete("offset < 10")
    left = [row for row in plain(acked, "shared") if row[1] >= 10]
    assert lake.append("shared")["rows"] == 0 and lake.rows("shared") == left
    send(acked, "shared", range(90, 120))
    flushed(lake, "shared", 120)
    lake.append("shared")
    assert lake.rows("shared") == [row for row in plain(acked, "shared") if row[1] >= 10]
    lake.table("shared").manage_snapshots().rollback_to_snapshot(before).commit()
    lake.append("shared")
    assert lake.rows("shared") == plain(acked, "shared")
    print("ok another writer's snapshots between, and a rollback")


def test_refusals(lake, acked):
    command = ["nothing" if part == "plain" else part for part in lake.command("plain")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "no topic nothing was exported" in done.stderr, done.stderr
    print("ok what was not exported is refused")


def main():
    print(f"seed {SEED}")
    with tempfile.TemporaryDirectory(prefix="floe-iceberg-") as folder:
        folder = Path(folder)
        broker = suite.Broker(folder)
        try:
            admin, acked = suite.AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"}), suite.Acked(broker.port)
            for made in admin.create_topics([suite.NewTopic(name, suite.PARTITIONS) for name in ("plain", "json", "raced", "shared")]).values():
                made.result(30)
            lake = Lake(folder, broker)
            tests = [test_append, test_by_duckdb, test_columns, test_races_and_kills, test_other_writers, test_refusals]
            for test in tests:
                test(lake, acked)
        finally:
            if broker.process.poll() is None:
                broker.kill()
    print(f"test result: ok. tables of Iceberg: {len(tests)} passed; 0 failed; 0 skipped")


if __name__ == "__main__":
    main()

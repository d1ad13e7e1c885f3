#!/usr/bin/env python3
"""Values as the serializers of confluent-kafka write them, with their schemas in a registry of somebody else, exported by `floe export
--registry` and read back with pyarrow: python3 tests/tables/registry/run.py

The registry is Apicurio's (Maven, in memory), by its interface that is Confluent's. Schemas change while values are written, refer to others,
and Protocol Buffers have messages within messages and imports. The program: FLOE_TEST_BROKER, or target/debug/floe.
"""

import contextlib
import datetime
import decimal
import importlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

TABLES = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TABLES), str(TABLES / "python")]
import packages  # noqa: E402

OF_TABLES = ["duckdb==2.0.1", "fastavro==1.13.1", "polars==2.1.0", "pyarrow==26.0.1"]
packages.enter("venv-registry", ["confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.0", "grpcio-tools==1.85.1", *OF_TABLES])

import pyarrow.dataset  # noqa: E402
import run as suite  # noqa: E402
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroSerializer  # noqa: E402
from confluent_kafka.schema_registry.json_schema import JSONSerializer  # noqa: E402
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402
from grpc_tools import protoc  # noqa: E402

# The newest that runs on Java 17.
VERSION = "2.6.13.Final"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
UTC = datetime.timezone.utc


def installed():
    """The registry's program."""
    folder = packages.TARGET / f"apicurio-{VERSION}"
    program = folder / f"apicurio-registry-app-{VERSION}-runner.jar"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy = [f"-DoutputDirectory={folder}", f"-Dartifact={ARTIFACT}"]
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        done = subprocess.run(["mvn", "-q", "-B", plugin, *copy], cwd=folder, capture_output=True, text=True, timeout=900)
        if done.returncode:
            print(f"SKIP tables with a registry: Maven has no {ARTIFACT}: {done.stdout.strip().splitlines()[:1]}")
            sys.exit(0)
        [archive] = folder.glob("*-all.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        archive.unlink()
    return program


@contextlib.contextmanager
def registry(folder):
    program, port = installed(), suite.free_port()
    environment = {**os.environ, "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)}
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    with open(folder / "registry.log", "wb") as log:
        process = subprocess.Popen(["java", "-jar", program.name], cwd=program.parent, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/subjects", timeout=5).read()
                    break
                assert process.poll() is None, (folder / "registry.log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                raise SystemExit("the registry did not come within a minute")
            yield url
        finally:
            process.kill()
            process.wait()


def exported(broker, url, topic, mode, count):
    """The table's rows by offset, once all records are in the store."""
    target = broker.data.parent / topic
    for _ in range(100):
        suite.export(broker.store, topic, target, "--mode", mode, "--registry", url)
        files = sorted(map(str, target.glob("**/*.parquet")))
        rows = pyarrow.dataset.dataset(files, schema=widest(files)).to_table().to_pylist() if files else []
        if len(rows) == count:
            break
        time.sleep(0.2)
    assert len(rows) == count, f"{topic}: {len(rows)} rows of {count}"
    wrong = [row["_error"] for row in rows if row["_error"] is not None]
    assert not wrong, wrong[:3]
    return sorted(rows, key=lambda row: row["offset"])


def widest(files):
    return pyarrow.unify_schemas([pyarrow.parquet.read_schema(file) for file in files])


def send(acked, topic, values):
    acked.send("lz4", topic, ((None, value, [], 0) for value in values))


def test_avro(broker, acked, client, url):
    """The second schema has a field more, of a type that is a schema of its own."""
    context, named = SerializationContext("avro", MessageField.VALUE), "shop.Place"
    place = {"type": "record", "name": "Place", "namespace": "shop", "fields": [{"name": "x", "type": "double"}, {"name": "zip", "type": "string"}]}
    client.register_schema(named, Schema(json.dumps(place), "AVRO"))
    price = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    fields = [{"name": "id", "type": "long"}, {"name": "price", "type": price}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]
    wider = [*fields, {"name": "place", "type": ["null", named], "default": None}]
    schemas = [
        Schema(json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": fields}), "AVRO"),
        Schema(json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": wider}), "AVRO", [SchemaReference(named, named, 1)]),
    ]
    start = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    orders = [
        {"id": n, "price": decimal.Decimal(n) / 100, "at": start + datetime.timedelta(milliseconds=n), "place": {"x": n / 3, "zip": f"{n:05}"} if n % 3 else None}
        for n in range(200)
    ]
    for schema, part in ((schemas[0], orders[:100]), (schemas[1], orders[100:])):
        serialize = AvroSerializer(client, schema)
        for order in part[:1]:
            serialize(order, context)
        send(acked, "avro", [serialize(order, context) for order in part])
    expected = [{**order, "place": order["place"] if n >= 100 else None} for n, order in enumerate(orders)]
    rows = exported(broker, url, "avro", "avro", len(orders))
    assert [{name: row.get(name) for name in expected[0]} for row in rows] == expected
    print(f"ok {len(rows)} values of Avro, two schemas and one that they refer to")


MONEY = """syntax = "proto3"; package shop; message Money { int64 units = 1; string currency = 2; }"""
ORDERS = """syntax = "proto3"; package shop;
import "google/protobuf/timestamp.proto";
import "money.proto";
enum Kind { UNKNOWN = 0; NEW = 1; }
message Outer {
  message Unused { bool a = 1; }
  message Order {
    uint64 id = 1; Money price = 2; google.protobuf.Timestamp at = 3; repeated string tags = 4; map<string, int32> counts = 5;
    Kind kind = 6; oneof by { string card = 7; bool cash = 8; } optional float weight = 9; bytes raw = 10; sint32 delta = 11;
  }
}
"""


def compiled(folder):
    """The module that protoc makes."""
    for name, text in (("money.proto", MONEY), ("orders.proto", ORDERS)):
        (folder / name).write_text(text)
    wellknown = Path(protoc.__file__).parent / "_proto"
    made = protoc.main(["protoc", f"-I{folder}", f"-I{wellknown}", f"--python_out={folder}", str(folder / "money.proto"), str(folder / "orders.proto")])
    assert made == 0, "protoc"
    sys.path.insert(0, str(folder))
    return importlib.import_module("orders_pb2"), importlib.import_module("money_pb2")


def test_protobuf(broker, acked, client, url):
    """A message within another, so that its place is told before each value; a file that imports one from the registry."""
    orders, money = compiled(broker.data.parent)
    context = SerializationContext("protobuf", MessageField.VALUE)
    serialize = ProtobufSerializer(orders.Outer.Order, client, {"use.deprecated.format": False})
    start, values, expected = datetime.datetime(2026, 1, 1, tzinfo=UTC), [], []
    for n in range(200):
        order = orders.Outer.Order(id=(1 << 63) + n, price=money.Money(units=-n, currency="EUR"), tags=[f"t{i}" for i in range(n % 4)], kind=n % 2)
        order.at.FromDatetime(start + datetime.timedelta(microseconds=n))
        order.counts.update({f"k{i}": i - 1 for i in range(n % 3)})
        order.raw, order.delta = bytes([n % 256]) * 2, -n
        if n % 2:
            order.card = f"card {n}"
        else:
            order.cash = True
        if n % 5:
            order.weight = n / 2
        values.append(serialize(order, context))
        expected.append({
            "id": decimal.Decimal((1 << 63) + n), "price": {"units": -n, "currency": "EUR"}, "at": start + datetime.timedelta(microseconds=n),
            "tags": [f"t{i}" for i in range(n % 4)], "counts": {f"k{i}": i - 1 for i in range(n % 3)}, "kind": ["UNKNOWN", "NEW"][n % 2],
            "card": f"card {n}" if n % 2 else None, "cash": None if n % 2 else True, "weight": n / 2 if n % 5 else None,
            "raw": bytes([n % 256]) * 2, "delta": -n,
        })  # fmt: skip
    send(acked, "protobuf", values)
    rows = exported(broker, url, "protobuf", "protobuf", len(values))
    found = [{**{name: row[name] for name in expected[0]}, "counts": dict(row["counts"])} for row in rows]
    for n, (ours, known) in enumerate(zip(found, expected, strict=True)):
        assert ours == known, f"value {n}: {ours} is not {known}"
    print(f"ok {len(rows)} values of Protocol Buffers, as protobuf wrote them")


def test_json(broker, acked, client, url):
    context = SerializationContext("json", MessageField.VALUE)
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object",
        "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "sizes": {"type": "array", "items": {"type": "number"}}},
    }  # fmt: skip
    serialize = JSONSerializer(json.dumps(schema), client)
    orders = [{"id": n, "name": f"näme {n}", "sizes": [n / 2] * (n % 3)} for n in range(200)]
    send(acked, "json", [serialize(order, context) for order in orders])
    rows = exported(broker, url, "json", "json", len(orders))
    assert [{name: row[name] for name in orders[0]} for row in rows] == orders
    print(f"ok {len(rows)} values of JSON with a schema")


def test_unknown(broker, acked, client, url):
    """An id that the registry does not have costs its row only."""
    known = client.register_schema("unknown-value", Schema('"long"', "AVRO"))
    ids = [known if n % 2 else 1_000_000 for n in range(20)]
    send(acked, "unknown", [b"\0" + id.to_bytes(4, "big") + bytes([2 * n]) for n, id in enumerate(ids)])
    target = broker.data.parent / "unknown"
    time.sleep(2.5)
    suite.export(broker.store, "unknown", target, "--mode", "avro", "--registry", url)
    rows = sorted(pyarrow.dataset.dataset(sorted(map(str, target.glob("**/*.parquet")))).to_table().to_pylist(), key=lambda row: row["offset"])
    assert [row["_error"] is None for row in rows] == [id == known for id in ids]
    print("ok an id that the registry does not know is an error of its rows")


def main():
    with tempfile.TemporaryDirectory(prefix="floe-registry-") as folder:
        folder = Path(folder)
        with registry(folder) as url:
            client, broker = SchemaRegistryClient({"url": url}), suite.Broker(folder)
            try:
                admin, acked = suite.AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"}), suite.Acked(broker.port)
                tests = [test_avro, test_protobuf, test_json, test_unknown]
                for made in admin.create_topics([suite.NewTopic(test.__name__.removeprefix("test_"), 1) for test in tests]).values():
                    made.result(30)
                for test in tests:
                    test(broker, acked, client, url)
                broker.stop()
            finally:
                if broker.process.poll() is None:
                    broker.kill()
    print(f"test result: ok. tables with Apicurio's registry: {len(tests)} passed; 0 failed; 0 skipped")


if __name__ == "__main__":
    main()

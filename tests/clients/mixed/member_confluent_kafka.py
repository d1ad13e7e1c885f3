"""A member of a group, by confluent-kafka of any version: says what it reads until it is told to end."""

import os
import signal

import confluent_kafka as ck

ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
settings = {
    "bootstrap.servers": os.environ["FLOE_BOOTSTRAP"],
    "group.id": os.environ["FLOE_GROUP"],
    "client.id": os.environ["FLOE_NAME"],
    "auto.offset.reset": "earliest",
    "auto.commit.interval.ms": 500,
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 500,
    "partition.assignment.strategy": "roundrobin",
}
consumer = ck.Consumer(settings)
consumer.subscribe([os.environ["FLOE_TOPIC"]])
while not ends:
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        print(message.partition(), message.offset(), message.value().decode(), flush=True)
consumer.close()

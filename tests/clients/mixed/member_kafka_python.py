"""A member of a group, by kafka-python of any version: says what it reads until it is told to end."""

import os
import signal

import kafka
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
consumer = kafka.KafkaConsumer(
    os.environ["FLOE_TOPIC"],
    bootstrap_servers=os.environ["FLOE_BOOTSTRAP"],
    group_id=os.environ["FLOE_GROUP"],
    client_id=os.environ["FLOE_NAME"],
    auto_offset_reset="earliest",
    auto_commit_interval_ms=500,
    session_timeout_ms=6_000,
    heartbeat_interval_ms=500,
    partition_assignment_strategy=[RoundRobinPartitionAssignor],
)
while not ends:
    for records in consumer.poll(timeout_ms=200).values():
        for record in records:
            print(record.partition, record.offset, record.value.decode(), flush=True)
consumer.close()

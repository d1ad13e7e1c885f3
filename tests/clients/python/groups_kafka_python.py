"""kafka-python in groups: two members share, one leaves, another crashes; commits hold."""

import sys

import kafka
from groups import BOOTSTRAP, EACH, GROUP, HEARTBEAT_MS, PARTITIONS, SESSION_MS, TOPIC, all_partitions, crash, until, wait_for_member
from kafka.admin import KafkaAdminClient, NewTopic


def consumer():
    settings = {"group_id": GROUP, "auto_offset_reset": "earliest", "enable_auto_commit": False, "client_id": "kafka-python-groups"}
    return kafka.KafkaConsumer(
        TOPIC, bootstrap_servers=BOOTSTRAP, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS, **settings
    )


def poll(member, seen):
    for partition, records in member.poll(timeout_ms=100).items():
        seen.extend((partition.partition, record.offset) for record in records)


def partitions(member):
    return {p.partition for p in member.assignment()}


def share(members, seen):
    def done():
        for member in members:
            poll(member, seen)
        parts = [partitions(member) for member in members]
        return all(parts) and sum(map(len, parts)) == PARTITIONS and set().union(*parts) == all_partitions()

    until(f"{len(members)} members share the topic", done)


def member():
    one, seen = consumer(), []
    until("partitions", lambda: (poll(one, seen), partitions(one))[1])
    print("assigned", flush=True)
    while True:
        poll(one, seen)


def main():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for n in range(PARTITIONS * EACH):
        producer.send(TOPIC, f"value-{n}".encode(), partition=n % PARTITIONS).get(30)
    first, seen = consumer(), []
    share([first], seen)
    until("all records", lambda: (poll(first, seen), len(seen) >= PARTITIONS * EACH)[1])
    assert sorted(seen) == [(p, o) for p in range(PARTITIONS) for o in range(EACH)], "every record once"
    first.commit()
    # One thread, two members: a join waits for the other, so the second one lives in a process of its own.
    process = crash(__file__)
    until("the other process has a part", lambda: (poll(first, seen), 0 < len(partitions(first)) < PARTITIONS)[1])
    wait_for_member(process)
    process.kill()
    process.wait()
    share([first], seen)
    assert len(seen) == PARTITIONS * EACH, "what was committed is not read again"
    first.close()
    again = consumer()
    share([again], seen)
    for p in range(PARTITIONS):
        assert again.committed(kafka.TopicPartition(TOPIC, p)) == EACH
    assert len(seen) == PARTITIONS * EACH
    again.close()
    print(f"kafka-python {kafka.__version__}: share, leave, crash, commits")


member() if sys.argv[1:2] == ["member"] else main()

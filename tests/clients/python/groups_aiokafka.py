"""aiokafka in groups: two members share, one leaves, another crashes; commits with metadata hold."""

import asyncio
import sys
import time

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from groups import BOOTSTRAP, EACH, GROUP, HEARTBEAT_MS, PARTITIONS, PATIENCE, SESSION_MS, TOPIC, all_partitions, crash, wait_for_member


def consumer():
    settings = {"group_id": GROUP, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    return aiokafka.AIOKafkaConsumer(
        TOPIC, bootstrap_servers=BOOTSTRAP, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS, **settings
    )


def partitions(member):
    return {p.partition for p in member.assignment()}


async def until(what, done, members, seen):
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE, f"not in {PATIENCE} s: {what}"
        for member in members:
            for partition, records in (await member.getmany(timeout_ms=100)).items():
                seen.extend((partition.partition, record.offset) for record in records)


async def share(members, seen):
    def done():
        parts = [partitions(member) for member in members]
        return all(parts) and sum(map(len, parts)) == PARTITIONS and set().union(*parts) == all_partitions()

    await until(f"{len(members)} members share the topic", done, members, seen)


async def member():
    one, seen = consumer(), []
    await one.start()
    await until("partitions", lambda: partitions(one), [one], seen)
    print("assigned", flush=True)
    await until("never", lambda: False, [one], seen)


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=BOOTSTRAP)
    await producer.start()
    for n in range(PARTITIONS * EACH):
        await producer.send_and_wait(TOPIC, f"value-{n}".encode(), partition=n % PARTITIONS)
    await producer.stop()
    first, second, seen = consumer(), consumer(), []
    await first.start()
    await until("all records", lambda: len(seen) >= PARTITIONS * EACH, [first], seen)
    assert sorted(seen) == [(p, o) for p in range(PARTITIONS) for o in range(EACH)], "every record once"
    await first.commit({aiokafka.TopicPartition(TOPIC, p): (EACH, f"note-{p}") for p in range(PARTITIONS)})
    await second.start()
    await share([first, second], seen)
    await second.stop()
    await share([first], seen)
    process = crash(__file__)
    await until("the other process has a part", lambda: 0 < len(partitions(first)) < PARTITIONS, [first], seen)
    await asyncio.get_running_loop().run_in_executor(None, wait_for_member, process)
    process.kill()
    process.wait()
    await share([first], seen)
    assert len(seen) == PARTITIONS * EACH, "what was committed is not read again"
    await first.stop()
    found = await admin.list_consumer_group_offsets(GROUP)
    notes = {p.partition: (offset.offset, offset.metadata) for p, offset in found.items()}
    assert notes == {p: (EACH, f"note-{p}") for p in range(PARTITIONS)}, notes
    await admin.close()
    print(f"aiokafka {aiokafka.__version__}: share, leave, crash, commits")


asyncio.run(member() if sys.argv[1:2] == ["member"] else main())

"""aiokafka in groups: members share, leave and crash; static restarts, commits with metadata, a pattern, pause, seek, administration.

It knows no cooperative assignor, and its admin client deletes no groups.
"""

import asyncio
import sys
import time

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from groups import BOOTSTRAP, EACH, GROUP, HEARTBEAT_MS, PARTITIONS, PATIENCE, SESSION_MS, TOPIC, Other, all_partitions, every_record, tell


class Listener(aiokafka.ConsumerRebalanceListener):
    def __init__(self):
        self.revoked = 0

    async def on_partitions_revoked(self, revoked):
        self.revoked += 1

    async def on_partitions_assigned(self, assigned):
        pass


def consumer(group=GROUP, instance=None, listener=None, pattern=None):
    settings = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False, "group_instance_id": instance}
    settings.update(session_timeout_ms=SESSION_MS * (5 if instance else 1), heartbeat_interval_ms=HEARTBEAT_MS)
    made = aiokafka.AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, metadata_max_age_ms=1_000, **settings)
    made.subscribe(pattern=pattern, listener=listener) if pattern else made.subscribe([TOPIC], listener=listener)
    return made


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
    """Runs in a process of its own, until it is killed."""
    one, seen = consumer(), []
    await one.start()
    await until("partitions", lambda: partitions(one), [one], seen)
    tell(partitions(one))
    await until("never", lambda: False, [one], seen)


async def lives():
    first, second, seen = consumer(), consumer(), []
    await first.start()
    await until("all records", lambda: len(seen) >= PARTITIONS * EACH, [first], seen)
    assert sorted(seen) == every_record(), "every record once"
    await first.commit({aiokafka.TopicPartition(TOPIC, p): (EACH, f"note-{p}") for p in range(PARTITIONS)})
    await second.start()
    await share([first, second], seen)
    await second.stop()
    await share([first], seen)
    other = Other(__file__)
    await until("the other process has a part", lambda: 0 < len(partitions(first)) < PARTITIONS, [first], seen)
    await asyncio.get_running_loop().run_in_executor(None, other.partitions)
    other.crash()
    await share([first], seen)
    assert len(seen) == PARTITIONS * EACH, "what was committed is not read again"
    await first.stop()


async def static():
    """A static member that closes does not leave: it comes back to what it had, and nobody notices."""
    group, listener, seen = f"{GROUP}-static", Listener(), []
    one, two = consumer(group, "one", listener), consumer(group, "two")
    await one.start()
    await two.start()
    await share([one, two], seen)
    had, before = partitions(two), listener.revoked
    await two.stop()
    two = consumer(group, "two")
    await two.start()
    await share([one, two], seen)
    assert partitions(two) == had and listener.revoked == before, "nobody was rebalanced"
    await two.stop()
    await one.stop()


async def pattern_pause_seek(producer):
    one, seen = consumer(f"{GROUP}-pattern", pattern=f"^{TOPIC}$"), []
    await one.start()
    await until("all records", lambda: len(seen) >= PARTITIONS * EACH, [one], seen)
    paused, sought = aiokafka.TopicPartition(TOPIC, 0), aiokafka.TopicPartition(TOPIC, 3)
    one.pause(paused)
    seen.clear()
    for p in range(PARTITIONS):
        await producer.send_and_wait(TOPIC, b"more", partition=p)
    await until("all but what is paused", lambda: len(seen) >= PARTITIONS - 1, [one], seen)
    assert sorted(seen) == [(p, EACH) for p in range(1, PARTITIONS)], f"a paused partition is not read: {seen}"
    one.resume(paused)
    await until("what was paused", lambda: (0, EACH) in seen, [one], seen)
    one.seek(sought, EACH - 1)
    await until("what was sought", lambda: len(seen) >= PARTITIONS + 2, [one], seen)
    assert seen[-2:] == [(3, EACH - 1), (3, EACH)], seen
    await one.stop()


async def administer(admin):
    assert GROUP in {group[0] for group in await admin.list_consumer_groups()}
    [described] = await admin.describe_consumer_groups([GROUP])
    assert described.groups[0][2] == "Empty", described
    found = await admin.list_consumer_group_offsets(GROUP)
    notes = {p.partition: (offset.offset, offset.metadata) for p, offset in found.items()}
    assert notes == {p: (EACH, f"note-{p}") for p in range(PARTITIONS)}, notes


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=BOOTSTRAP)
    await producer.start()
    for n in range(PARTITIONS * EACH):
        await producer.send_and_wait(TOPIC, f"value-{n}".encode(), partition=n % PARTITIONS)
    await lives()
    await static()
    await pattern_pause_seek(producer)
    await administer(admin)
    await producer.stop()
    await admin.close()
    print(f"aiokafka {aiokafka.__version__}: share, leave, crash, static, commits, a pattern, pause, seek, administration")


asyncio.run(member() if sys.argv[1:2] == ["member"] else main())

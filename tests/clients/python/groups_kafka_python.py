"""kafka-python in groups: eager and cooperative members share, leave and crash; static restarts, a pattern, pause, seek, administration.

One thread and two members do not go together, a join waits for the others: all but the first live in processes of their own.
"""

import sys

import kafka
from groups import BOOTSTRAP, EACH, GROUP, HEARTBEAT_MS, PARTITIONS, SESSION_MS, TOPIC, Other, all_partitions, every_record
from groups import is_told_to_leave, tell, until
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor

ASSIGNORS = {"range": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}


class Member(kafka.ConsumerRebalanceListener):
    """A consumer, what it has seen, and what was taken from it."""

    def __init__(self, group, assignor="range", instance=None, pattern=None):
        self.seen, self.revoked = [], []
        settings = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False, "client_id": "kafka-python-groups"}
        if instance:
            settings["group_instance_id"] = instance
        settings.update(session_timeout_ms=SESSION_MS * (5 if instance else 1), heartbeat_interval_ms=HEARTBEAT_MS)
        self.consumer = kafka.KafkaConsumer(
            bootstrap_servers=BOOTSTRAP, partition_assignment_strategy=[ASSIGNORS[assignor]], metadata_max_age_ms=1_000, **settings
        )
        self.consumer.subscribe(topics=None if pattern else [TOPIC], pattern=pattern, listener=self)

    def on_partitions_revoked(self, revoked):
        self.revoked.append({p.partition for p in revoked})

    def on_partitions_assigned(self, assigned):
        pass

    def poll(self):
        for partition, records in self.consumer.poll(timeout_ms=100).items():
            self.seen.extend((partition.partition, record.offset) for record in records)

    def partitions(self):
        return {p.partition for p in self.consumer.assignment()}

    def has(self, count):
        until(f"{count} partitions", lambda: (self.poll(), len(self.partitions()) == count)[1])

    def reads(self, count):
        until(f"{count} records", lambda: (self.poll(), len(self.seen) >= count)[1])


def member(group, assignor, instance):
    """Runs in a process of its own, until it is killed or told to leave."""
    one = Member(group, assignor, instance)
    one.has(PARTITIONS // 2)
    tell(one.partitions())
    until("the end", lambda: (one.poll(), is_told_to_leave())[1])
    assert not one.seen, f"what was committed is read again: {one.seen}"
    one.consumer.close()


def lives(assignor):
    group = f"{GROUP}-{assignor}"
    first = Member(group, assignor)
    first.has(PARTITIONS)
    first.reads(PARTITIONS * EACH)
    assert sorted(first.seen) == every_record(), "every record once"
    first.consumer.commit()
    first.revoked.clear()
    for end in [Other.leave, Other.crash]:
        other = Other(__file__, group, assignor, "")
        # A cooperative rebalance has two rounds, and the first one is in both.
        until("the other process has a part", lambda: (first.poll(), other.has_told())[1])
        theirs = other.partitions()
        first.has(PARTITIONS // 2)
        assert theirs | first.partitions() == all_partitions() and not theirs & first.partitions()
        if assignor == "cooperative":
            assert set().union(*first.revoked) == theirs, f"only what moves is revoked: {first.revoked}"
            first.revoked.clear()
        end(other)
        first.has(PARTITIONS)
    assert len(first.seen) == PARTITIONS * EACH, "what was committed is not read again"
    first.consumer.close()
    again = Member(group, assignor)
    again.has(PARTITIONS)
    assert all(again.consumer.committed(kafka.TopicPartition(TOPIC, p)) == EACH for p in range(PARTITIONS)) and not again.seen
    again.consumer.close()


def static():
    """A static member that closes does not leave: it comes back to what it had, and nobody notices."""
    group = f"{GROUP}-range"
    one = Member(group, instance="one")
    one.has(PARTITIONS)
    two = Other(__file__, group, "range", "two")
    until("the other process has a part", lambda: (one.poll(), two.has_told())[1])
    had, before = two.partitions(), len(one.revoked)
    two.leave()
    two = Other(__file__, group, "range", "two")
    until("the member is back", lambda: (one.poll(), two.has_told())[1])
    assert two.partitions() == had and len(one.revoked) == before, "nobody was rebalanced"
    two.leave()
    one.consumer.close()


def pattern_pause_seek(producer):
    one = Member(f"{GROUP}-pattern", pattern=f"^{TOPIC}$")
    one.has(PARTITIONS)
    one.reads(PARTITIONS * EACH)
    paused, sought = kafka.TopicPartition(TOPIC, 0), kafka.TopicPartition(TOPIC, 3)
    one.consumer.pause(paused)
    one.seen.clear()
    for p in range(PARTITIONS):
        producer.send(TOPIC, b"more", partition=p).get(30)
    one.reads(PARTITIONS - 1)
    one.poll()
    assert sorted(one.seen) == [(p, EACH) for p in range(1, PARTITIONS)], f"a paused partition is not read: {one.seen}"
    one.consumer.resume(paused)
    one.reads(PARTITIONS)
    one.consumer.seek(sought, EACH - 1)
    one.reads(PARTITIONS + 2)
    assert one.seen[-2:] == [(3, EACH - 1), (3, EACH)], f"from where it was sought: {one.seen}"
    one.consumer.close()


def administer(admin):
    group, partition = f"{GROUP}-cooperative", kafka.TopicPartition(TOPIC, 0)
    assert group in {listed["group_id"] for listed in admin.list_groups()}
    assert admin.describe_groups([group])[group]["group_state"] == "Empty"
    admin.alter_group_offsets(group, {partition: kafka.structs.OffsetAndMetadata(7, "note", -1)})
    found = admin.list_group_offsets({group: None})[group]
    assert (found[partition].offset, found[partition].metadata) == (7, "note"), found
    admin.delete_group_offsets(group, [partition])
    assert partition not in admin.list_group_offsets({group: None})[group]
    admin.delete_groups([group])
    assert group not in {listed["group_id"] for listed in admin.list_groups()}


def main():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP)
    for n in range(PARTITIONS * EACH):
        producer.send(TOPIC, f"value-{n}".encode(), partition=n % PARTITIONS).get(30)
    lives("range")
    lives("cooperative")
    static()
    administer(admin)
    pattern_pause_seek(producer)
    print(f"kafka-python {kafka.__version__}: eager, cooperative, leave, crash, static, a pattern, pause, seek, administration")


member(*sys.argv[2:]) if sys.argv[1:2] == ["member"] else main()

"""confluent-kafka in groups: eager and cooperative, static restarts, a crash, commits, a pattern, pause, seek, administration."""

import sys

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic
from groups import BOOTSTRAP, EACH, GROUP, HEARTBEAT_MS, PARTITIONS, SESSION_MS, TOPIC, Other, all_partitions, every_record, tell, until


class Member:
    """A consumer, its partitions, and what it has seen."""

    def __init__(self, group, subscription=TOPIC, **settings):
        own = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        own.update({"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}, **settings)
        self.consumer, self.seen, self.revoked, self.lost = ck.Consumer(own), [], [], 0
        self.consumer.subscribe([subscription], on_revoke=self.on_revoke, on_lost=self.on_lost)

    def on_revoke(self, consumer, partitions):
        self.revoked.append({p.partition for p in partitions})
        # What was read belongs to us until here.
        try:
            consumer.commit(asynchronous=False)
        except ck.KafkaException as error:
            assert error.args[0].code() == ck.KafkaError._NO_OFFSET, error

    def on_lost(self, consumer, partitions):
        self.lost += 1

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is not None:
            assert message.error() is None, message.error()
            self.seen.append((message.partition(), message.offset()))

    def partitions(self):
        return {p.partition for p in self.consumer.assignment()}


def share(members):
    """All members poll until each has a part, and all parts are the whole."""

    def done():
        for member in members:
            member.poll()
        parts = [member.partitions() for member in members]
        assert len(set().union(*parts)) == sum(len(part) for part in parts), f"a partition is owned twice: {parts}"
        return all(parts) and set().union(*parts) == all_partitions()

    until(f"{len(members)} members share the topic", done)


def read_all(members, count):
    def done():
        for member in members:
            member.poll()
        return sum(len(member.seen) for member in members) >= count

    until(f"{count} records", done)


def lives(strategy):
    group = f"{GROUP}-{strategy}"
    settings = {"partition.assignment.strategy": strategy}
    first = Member(group, **settings)
    share([first])
    read_all([first], PARTITIONS * EACH)
    assert sorted(first.seen) == every_record(), "every record once"
    first.consumer.commit(asynchronous=False)
    second = Member(group, **settings)
    share([first, second])
    taken = set().union(*first.revoked)
    if strategy == "cooperative-sticky":
        assert taken == second.partitions(), f"only what moves is revoked: {taken}"
    else:
        assert taken == all_partitions(), f"everything is revoked: {taken}"
    second.consumer.close()
    share([first])
    crash_beside(first, group, settings)
    assert not second.seen and len(first.seen) == PARTITIONS * EACH, "what was committed is not read again"
    first.consumer.close()
    ends = ck.Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
    committed = ends.committed([ck.TopicPartition(TOPIC, p) for p in range(PARTITIONS)], timeout=30)
    assert [c.offset for c in committed] == [EACH] * PARTITIONS, committed
    ends.close()


def crash_beside(first, group, settings):
    """Another process joins and is killed: its partitions come back after its session."""
    other = Other(__file__, group, settings["partition.assignment.strategy"])
    until("the other process has a part", lambda: (first.poll(), 0 < len(first.partitions()) < PARTITIONS)[1])
    other.partitions()
    other.crash()
    share([first])


def member(group, strategy):
    """Runs in a process of its own, until it is killed."""
    one = Member(group, **{"partition.assignment.strategy": strategy})
    until("partitions", lambda: (one.poll(), one.partitions())[1])
    tell(one.partitions())
    while True:
        one.poll()


def static():
    group = f"{GROUP}-static"
    one = Member(group, **{"group.instance.id": "one", "session.timeout.ms": 10_000})
    two = Member(group, **{"group.instance.id": "two", "session.timeout.ms": 10_000})
    share([one, two])
    before, revoked = one.partitions(), len(one.revoked)
    part = two.partitions()
    # A static member that closes does not leave: it comes back to what it had, and nobody notices.
    two.consumer.close()
    two = Member(group, **{"group.instance.id": "two", "session.timeout.ms": 10_000})
    share([one, two])
    assert (one.partitions(), two.partitions(), len(one.revoked)) == (before, part, revoked), "nobody was rebalanced"
    one.consumer.close()
    two.consumer.close()


def pattern_pause_seek(producer):
    one = Member(f"{GROUP}-pattern", f"^{TOPIC}$")
    read_all([one], PARTITIONS * EACH)
    one.consumer.pause([ck.TopicPartition(TOPIC, 0)])
    one.seen.clear()
    for p in range(PARTITIONS):
        producer.produce(TOPIC, b"more", partition=p)
    assert producer.flush(30) == 0
    read_all([one], PARTITIONS - 1)
    one.poll()
    assert sorted(one.seen) == [(p, EACH) for p in range(1, PARTITIONS)], f"a paused partition is not read: {one.seen}"
    one.consumer.resume([ck.TopicPartition(TOPIC, 0)])
    read_all([one], PARTITIONS)
    one.consumer.seek(ck.TopicPartition(TOPIC, 3, EACH - 1))
    read_all([one], PARTITIONS + 2)
    assert one.seen[-2:] == [(3, EACH - 1), (3, EACH)], f"from where it was sought: {one.seen}"
    one.consumer.close()


def administer():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    group = f"{GROUP}-range"
    listed = {g.group_id for g in admin.list_consumer_groups(request_timeout=30).result(30).valid}
    assert group in listed, listed
    described = admin.describe_consumer_groups([group])[group].result(30)
    assert described.state == ck.ConsumerGroupState.EMPTY, described.state
    wanted = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(TOPIC, 0, 7)])
    admin.alter_consumer_group_offsets([wanted])[group].result(30)
    found = admin.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(group)])[group].result(30)
    assert {p.partition: p.offset for p in found.topic_partitions}[0] == 7, found.topic_partitions
    admin.delete_consumer_groups([group])[group].result(30)
    assert group not in {g.group_id for g in admin.list_consumer_groups(request_timeout=30).result(30).valid}


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
    producer = ck.Producer({"bootstrap.servers": BOOTSTRAP})
    for n in range(PARTITIONS * EACH):
        producer.produce(TOPIC, f"value-{n}".encode(), partition=n % PARTITIONS)
    assert producer.flush(30) == 0
    lives("range")
    lives("cooperative-sticky")
    static()
    administer()
    pattern_pause_seek(producer)
    versions = f"confluent-kafka {ck.__version__}, librdkafka {ck.libversion()[0]}"
    print(f"{versions}: eager, cooperative, leave, crash, static, a pattern, pause, seek, administration")


member(*sys.argv[2:]) if sys.argv[1:2] == ["member"] else main()

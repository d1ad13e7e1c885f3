"""confluent-kafka: librdkafka from Python."""

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic
from smoke import BOOTSTRAP, CODECS, COUNT, HEADERS, START, check, records, topic


def produce(codec):
    errors = []
    settings = {"bootstrap.servers": BOOTSTRAP, "compression.type": codec, "enable.idempotence": True, "linger.ms": 20}
    producer = ck.Producer(settings)
    for key, value, at in records():
        callback = lambda error, _: error and errors.append(error)
        producer.produce(topic(codec), value, key, partition=0, timestamp=at, headers=HEADERS, on_delivery=callback)
    assert producer.flush(60) == 0, "not all was acknowledged"
    assert not errors, errors


def poll(consumer, count):
    got = []
    while len(got) < count:
        message = consumer.poll(30)
        assert message is not None, f"nothing after {len(got)} records"
        assert message.error() is None, message.error()
        got.append((message.offset(), message.key(), message.value(), message.timestamp()[1], message.headers()))
    return got


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for created in admin.create_topics([NewTopic(topic(codec), 2, 1) for codec in CODECS]).values():
        created.result(30)
    described = admin.list_topics(timeout=30).topics
    assert all(len(described[topic(codec)].partitions) == 2 for codec in CODECS)
    for codec in CODECS:
        produce(codec)
        settings = {"bootstrap.servers": BOOTSTRAP, "group.id": "smoke", "enable.auto.commit": False, "auto.offset.reset": "error"}
        consumer = ck.Consumer(dict(settings, **{"check.crcs": True}))
        consumer.assign([ck.TopicPartition(topic(codec), 0, 0)])
        check(codec, poll(consumer, COUNT))
        consumer.seek(ck.TopicPartition(topic(codec), 0, 20))
        assert poll(consumer, 1)[0][0] == 20
        found = consumer.offsets_for_times([ck.TopicPartition(topic(codec), 0, START + 29_500)], timeout=30)[0]
        assert found.error is None and found.offset == 30, found
        assert consumer.get_watermark_offsets(ck.TopicPartition(topic(codec), 0), timeout=30) == (0, COUNT)
        consumer.close()
    for deleted in admin.delete_topics([topic("none")]).values():
        deleted.result(30)
    print(f"confluent-kafka {ck.__version__}, librdkafka {ck.libversion()[0]}: {len(CODECS)} codecs")


main()

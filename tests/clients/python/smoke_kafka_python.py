"""kafka-python: the old pure Python client, grown new."""

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from smoke import BOOTSTRAP, CODECS, COUNT, HEADERS, START, check, records, topic


def produce(codec):
    compression = None if codec == "none" else codec
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=compression, acks="all", linger_ms=20)
    sent = []
    for key, value, at in records():
        sent.append(producer.send(topic(codec), value, key, headers=HEADERS, partition=0, timestamp_ms=at))
    producer.flush(60)
    assert [one.get(60).offset for one in sent] == list(range(COUNT))
    producer.close()


def poll(consumer, count):
    got = []
    while len(got) < count:
        batches = consumer.poll(timeout_ms=30_000, max_records=count - len(got))
        assert batches, f"nothing after {len(got)} records"
        for message in (message for batch in batches.values() for message in batch):
            headers = [(name, value) for name, value in message.headers]
            got.append((message.offset, message.key, message.value, message.timestamp, headers))
    return got


def main():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(topic(codec), num_partitions=2, replication_factor=1) for codec in CODECS])
    assert {topic(codec) for codec in CODECS} <= set(admin.list_topics())
    for codec in CODECS:
        produce(codec)
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, auto_offset_reset="none", check_crcs=True)
        partition = TopicPartition(topic(codec), 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        check(codec, poll(consumer, COUNT))
        consumer.seek(partition, 20)
        assert poll(consumer, 1)[0][0] == 20
        found = consumer.offsets_for_times({partition: START + 29_500})[partition]
        assert (found.offset, found.timestamp) == (30, START + 30_000), found
        assert consumer.end_offsets([partition]) == {partition: COUNT}
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        consumer.close()
    admin.delete_topics([topic("none")])
    admin.close()
    print(f"kafka-python {kafka.__version__}: {len(CODECS)} codecs")


main()

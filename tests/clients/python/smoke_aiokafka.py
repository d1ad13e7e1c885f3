"""aiokafka: asyncio, idempotent."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from smoke import BOOTSTRAP, CODECS, COUNT, HEADERS, START, check, records, topic


async def produce(codec):
    compression = None if codec == "none" else codec
    settings = {"compression_type": compression, "enable_idempotence": True, "linger_ms": 20}
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **settings) as producer:
        sent = []
        for key, value, at in records():
            sent.append(await producer.send(topic(codec), value, key, partition=0, timestamp_ms=at, headers=HEADERS))
        assert [(await one).offset for one in sent] == list(range(COUNT))


async def poll(consumer, count):
    got = []
    while len(got) < count:
        message = await asyncio.wait_for(consumer.getone(), 30)
        got.append((message.offset, message.key, message.value, message.timestamp, list(message.headers)))
    return got


async def consume(codec):
    partition = TopicPartition(topic(codec), 0)
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, auto_offset_reset="none") as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        check(codec, await poll(consumer, COUNT))
        consumer.seek(partition, 20)
        assert (await poll(consumer, 1))[0][0] == 20
        found = (await consumer.offsets_for_times({partition: START + 29_500}))[partition]
        assert (found.offset, found.timestamp) == (30, START + 30_000), found
        assert await consumer.end_offsets([partition]) == {partition: COUNT}


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic(topic(codec), num_partitions=2, replication_factor=1) for codec in CODECS])
    assert {topic(codec) for codec in CODECS} <= set(await admin.list_topics())
    for codec in CODECS:
        await produce(codec)
        await consume(codec)
    await admin.delete_topics([topic("none")])
    await admin.close()
    print(f"aiokafka {aiokafka.__version__}: {len(CODECS)} codecs")


asyncio.run(main())

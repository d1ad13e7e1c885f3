"""aiokafka: see worker.py."""

import asyncio
import logging

import aiokafka
import worker

logging.disable(logging.CRITICAL)


async def produce(number):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=worker.BOOTSTRAP, enable_idempotence=True)
    await producer.start()
    waiting = set()

    async def send(value, partition):
        try:
            sent = await producer.send_and_wait(worker.TOPIC, value.encode(), partition=partition)
            worker.acknowledged(value, sent.partition, sent.offset)
        except Exception as error:
            worker.error("producer", repr(error))

    for value, partition in worker.values(number):
        if not worker.produces():
            break
        task = asyncio.create_task(send(value, partition))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        await asyncio.sleep(worker.PAUSE)
    await asyncio.gather(*waiting)
    await producer.stop()


async def consume():
    consumer = aiokafka.AIOKafkaConsumer(
        worker.TOPIC, bootstrap_servers=worker.BOOTSTRAP, group_id=worker.GROUP, auto_offset_reset="earliest"
    )
    await consumer.start()
    while worker.consumes():
        try:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    worker.read(record.value.decode(), record.partition, record.offset)
        except Exception as error:
            worker.error("consumer", repr(error))
    await consumer.stop()


async def main():
    consumers = [asyncio.create_task(consume()) for _ in range(worker.CONSUMERS)]
    await asyncio.gather(*(produce(n) for n in range(worker.PRODUCERS)))
    worker.say("produced")
    await asyncio.gather(*consumers)


asyncio.run(main())

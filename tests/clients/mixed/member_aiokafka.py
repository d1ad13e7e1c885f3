"""A member of a group, by aiokafka of any version: says what it reads until it is told to end."""

import asyncio
import os
import signal

import aiokafka

try:
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
except ImportError:
    # Older versions stand on kafka-python.
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


async def main():
    ends = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: ends.append(True))
    consumer = aiokafka.AIOKafkaConsumer(
        os.environ["FLOE_TOPIC"],
        bootstrap_servers=os.environ["FLOE_BOOTSTRAP"],
        group_id=os.environ["FLOE_GROUP"],
        client_id=os.environ["FLOE_NAME"],
        auto_offset_reset="earliest",
        auto_commit_interval_ms=500,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    )
    await consumer.start()
    while not ends:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                print(record.partition, record.offset, record.value.decode(), flush=True)
    await consumer.stop()


asyncio.run(main())

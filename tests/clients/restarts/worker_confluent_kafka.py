"""librdkafka, by confluent-kafka: see worker.py."""

import threading
import time

import confluent_kafka as ck
import worker

# The broker is gone for a moment: librdkafka calls these informational, and goes on by itself.
INFORMATION = {ck.KafkaError._ALL_BROKERS_DOWN, ck.KafkaError._TRANSPORT, ck.KafkaError._TIMED_OUT, ck.KafkaError._RESOLVE}


def told(who):
    def tell(error):
        if error.code() in INFORMATION and not error.fatal():
            worker.note(who, error.name())
        else:
            worker.error(who, error)

    return tell


def delivered(error, message):
    if error:
        worker.error("producer", error)
    else:
        worker.acknowledged(message.value().decode(), message.partition(), message.offset())


def produce(number):
    settings = {"bootstrap.servers": worker.BOOTSTRAP, "enable.idempotence": True, "error_cb": told("producer"), "log_level": 0}
    producer = ck.Producer(settings)
    for value, partition in worker.values(number):
        if not worker.produces():
            break
        producer.produce(worker.TOPIC, value, partition=partition, on_delivery=delivered)
        producer.poll(worker.PAUSE)
        time.sleep(worker.PAUSE / 2)
    if producer.flush(120):
        worker.error("producer", "flush leaves records")


def consume():
    settings = {"bootstrap.servers": worker.BOOTSTRAP, "group.id": worker.GROUP, "auto.offset.reset": "earliest", "log_level": 0}
    committed = lambda error, _: error and worker.note("commit", error)
    consumer = ck.Consumer(dict(settings, error_cb=told("consumer"), on_commit=committed))
    consumer.subscribe([worker.TOPIC])
    while worker.consumes():
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            told("consumer")(message.error())
        else:
            worker.read(message.value().decode(), message.partition(), message.offset())
    consumer.close()


def main():
    producers = [threading.Thread(target=produce, args=[n]) for n in range(worker.PRODUCERS)]
    consumers = [threading.Thread(target=consume) for _ in range(worker.CONSUMERS)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    worker.say("produced")
    for thread in consumers:
        thread.join()


main()

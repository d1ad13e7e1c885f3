// kafkajs: see worker.py.
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const { Kafka, logLevel } = createRequire(import.meta.url)('kafkajs')
const { FLOE_TOPIC: topic, FLOE_BOOTSTRAP: broker } = process.env
const [PARTITIONS, PRODUCERS, CONSUMERS, PAUSE] = [10, 3, 5, 200]
const kafka = new Kafka({ clientId: 'restarts', brokers: broker.split(','), logLevel: logLevel.NOTHING })
const say = (...words) => console.log(words.join(' '))

let producing = true
process.stdin.on('end', () => { producing = false }).resume()

async function produce(number) {
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  for (let n = 0; producing; n += PARTITIONS) {
    const messages = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, value: `p${number}-${n + partition}` }))
    try {
      for (const { partition, errorCode, baseOffset } of await producer.send({ topic, acks: -1, messages })) {
        if (errorCode === 0) say('ack', messages[partition].value, partition, baseOffset)
        else say('error', 'producer', errorCode)
      }
    } catch (error) {
      say('error', 'producer', JSON.stringify(`${error.name}: ${error.message}`))
    }
    await sleep(PAUSE)
  }
  await producer.disconnect()
}

async function consume() {
  const consumer = kafka.consumer({ groupId: `${topic}-group` })
  // It starts again by itself if it says so.
  consumer.on('consumer.crash', ({ payload: { error, restart } }) => {
    say(restart ? 'note' : 'error', 'consumer', JSON.stringify(`${error.name}: ${error.message}`))
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ partition, message }) => say('read', message.value, partition, message.offset) })
  return consumer
}

const consumers = await Promise.all(Array.from({ length: CONSUMERS }, consume))
process.on('SIGTERM', () => Promise.all(consumers.map((consumer) => consumer.disconnect())).then(() => process.exit(0)))
await Promise.all(Array.from({ length: PRODUCERS }, (_, number) => produce(number)))
say('produced')

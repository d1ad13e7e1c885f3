// @platformatic/kafka produces: the newest JavaScript client.
import assert from 'node:assert'
import { readFileSync } from 'node:fs'
import { Admin, ListOffsetTimestamps, Producer, ProduceAcks, stringSerializers } from '@platformatic/kafka'

const topic = process.env.FLOE_TOPIC ?? 'smoke'
const bootstrapBrokers = [process.env.FLOE_BOOTSTRAP ?? '127.0.0.1:9092']
const start = 1790000000000n
const count = 60
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const admin = new Admin({ clientId: 'smoke', bootstrapBrokers })
const topics = codecs.map((codec) => `${topic}-${codec}`)
const created = await admin.createTopics({ topics, partitions: 2, replicas: 1 })
assert.strictEqual(created.length, codecs.length)
for (const codec of codecs) {
  for (const idempotent of [false, true]) {
    const producer = new Producer({ clientId: 'smoke', bootstrapBrokers, serializers: stringSerializers, idempotent })
    const messages = Array.from({ length: count }, (_, n) => ({
      topic: `${topic}-${codec}`, key: `key-${n}`, value: `value-${n} `.repeat(10), partition: idempotent ? 1 : 0,
      timestamp: start + BigInt(n) * 1000n, headers: { trace: 'one' },
    }))
    const sent = await producer.send({ messages, acks: ProduceAcks.ALL, compression: codec })
    assert.strictEqual(String(sent.offsets[0].offset), '0')
    await producer.close()
  }
}
if (admin.listOffsets) {
  const listed = await admin.listOffsets({
    topics: topics.map((name) => ({ name, partitions: [0, 1].map((partitionIndex) => ({ partitionIndex, timestamp: ListOffsetTimestamps.LATEST })) })),
  })
  for (const one of listed) for (const partition of one.partitions) assert.strictEqual(String(partition.offset), String(count))
}
await admin.deleteTopics({ topics: [`${topic}-none`] })
await admin.close()
const { version } = JSON.parse(readFileSync(new URL('node_modules/@platformatic/kafka/package.json', import.meta.url)))
console.log(`@platformatic/kafka ${version} on Node ${process.version}: 5 codecs, produced`)

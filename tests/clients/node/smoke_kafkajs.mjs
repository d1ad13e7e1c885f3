// kafkajs produces, and finds offsets; it reads by groups only, which are not looked at here.
import assert from 'node:assert'
import { createRequire } from 'node:module'
import zlib from 'node:zlib'

const require = createRequire(import.meta.url)
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const lz4 = require('lz4js')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
  decompress: async (buffer) => zlib.zstdDecompressSync(buffer),
})

const topic = process.env.FLOE_TOPIC ?? 'smoke'
const brokers = [process.env.FLOE_BOOTSTRAP ?? '127.0.0.1:9092']
const kafka = new Kafka({ clientId: 'smoke', brokers, logLevel: logLevel.ERROR })
const start = 1790000000000
const count = 60

const admin = kafka.admin()
await admin.connect()
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }
const topics = Object.keys(codecs).map((codec) => ({ topic: `${topic}-${codec}`, numPartitions: 2, replicationFactor: 1 }))
assert(await admin.createTopics({ topics }))
for (const [codec, compression] of Object.entries(codecs)) {
  for (const idempotent of [false, true]) {
    const name = `${topic}-${codec}`
    const partition = idempotent ? 1 : 0
    const producer = kafka.producer({ idempotent })
    await producer.connect()
    const messages = Array.from({ length: count }, (_, n) => ({
      key: `key-${n}`, value: `value-${n} `.repeat(10), partition, timestamp: String(start + n * 1000), headers: { trace: ['one', 'two'] },
    }))
    const sent = await producer.send({ topic: name, acks: -1, compression, messages })
    assert.strictEqual(sent[0].errorCode, 0)
    await producer.disconnect()
    const ends = await admin.fetchTopicOffsets(name)
    assert.strictEqual(ends.find((end) => end.partition === partition).high, String(count))
    const found = await admin.fetchTopicOffsetsByTimestamp(name, start + 29500)
    assert.strictEqual(found.find((one) => one.partition === partition).offset, '30')
  }
}
const described = await admin.fetchTopicMetadata({ topics: [`${topic}-none`] })
assert.strictEqual(described.topics[0].partitions.length, 2)
await admin.deleteTopics({ topics: [`${topic}-none`] })
await admin.disconnect()
console.log(`kafkajs ${require('kafkajs/package.json').version} on Node ${process.version}: 5 codecs, produced`)

// @confluentinc/kafka-javascript, librdkafka from Node: produce, share, leave, a crash, static restarts, cooperative, commits, a pattern,
// pause, seek, administration.
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const client = require('@confluentinc/kafka-javascript')
const { Kafka, logLevel } = client.KafkaJS
const topic = process.env.FLOE_TOPIC ?? 'groups'
const brokers = [process.env.FLOE_BOOTSTRAP ?? '127.0.0.1:9092']
const PARTITIONS = 6
const EACH = 20
const kafka = new Kafka({ kafkaJS: { clientId: 'groups', brokers, logLevel: logLevel.NOTHING } })

async function until(what, done) {
  for (const began = Date.now(); !(await done()); await sleep(20)) assert(Date.now() - began < 60_000, `not in a minute: ${what}`)
}

// A consumer, and what it has seen.
class Member {
  constructor(groupId, more = {}, subscription = topic) {
    this.seen = []
    this.consumer = kafka.consumer({
      kafkaJS: { groupId, fromBeginning: true, autoCommit: true, autoCommitInterval: 100, sessionTimeout: 2000, heartbeatInterval: 300 },
      'topic.metadata.refresh.interval.ms': 1000, 'partition.assignment.strategy': 'range', ...more,
    })
    this.running = this.consumer.connect()
      .then(() => this.consumer.subscribe({ topics: [subscription] }))
      .then(() => this.consumer.run({
        eachMessage: async ({ partition, message }) => { this.seen.push([partition, Number(message.offset)]) },
      }))
  }

  get assigned() {
    try {
      return this.consumer.assignment().map(({ partition }) => partition)
    } catch {
      return []
    }
  }

  async stop() {
    await this.running
    await this.consumer.disconnect()
  }
}

const share = (members) => until(`${members.length} members share the topic`, () => {
  const parts = members.map((member) => member.assigned)
  return parts.every((part) => part.length > 0) && parts.flat().length === PARTITIONS && new Set(parts.flat()).size === PARTITIONS
})

if (process.argv[2] === 'member') {
  // To be killed by whoever started it, once it has partitions.
  const member = new Member(process.argv[3])
  await until('the member has partitions', () => member.assigned.length > 0)
  console.log('assigned')
  await sleep(120_000)
  process.exit(1)
}

const admin = kafka.admin()
await admin.connect()
assert(await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] }))
const producer = kafka.producer({ kafkaJS: { idempotent: true } })
await producer.connect()
const send = (each) => producer.send({
  topic, messages: Array.from({ length: PARTITIONS * each }, (_, n) => ({ partition: n % PARTITIONS, value: `value-${n}` })),
})
await send(EACH)
const allCommitted = (groupId) => until('all is committed', async () => {
  const [found] = await admin.fetchOffsets({ groupId, topics: [topic] })
  return found?.partitions.length === PARTITIONS && found.partitions.every(({ offset }) => Number(offset) === EACH)
})

for (const strategy of ['range', 'cooperative-sticky']) {
  const group = `${topic}-${strategy}`
  const how = { 'partition.assignment.strategy': strategy }
  const one = new Member(group, how)
  await share([one])
  await until('one member sees all', () => one.seen.length === PARTITIONS * EACH)
  await allCommitted(group)
  const two = new Member(group, how)
  await share([one, two])
  await two.stop()
  await share([one])
  if (strategy === 'range') {
    const third = spawn(process.execPath, [fileURLToPath(import.meta.url), 'member', group], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(third.stdout, 'data')
    await until('the third member is there', () => one.assigned.length < PARTITIONS)
    third.kill('SIGKILL')
    await share([one])
  }
  assert.strictEqual(one.seen.length, PARTITIONS * EACH, 'what was committed is not read again')
  await one.stop()
}

const fixed = (name) => new Member(`${topic}-static`, { 'group.instance.id': name, 'session.timeout.ms': 10_000 })
const stays = fixed('stays')
const goes = fixed('goes')
await share([stays, goes])
const had = [...goes.assigned].sort()
await goes.stop()
const back = fixed('goes')
await share([stays, back])
assert.deepStrictEqual([...back.assigned].sort(), had, 'a static member comes back to what it had')
await back.stop()
await stays.stop()

const last = new Member(`${topic}-pattern`, {}, new RegExp(`^${topic}$`))
await until('all by a pattern', () => last.seen.length === PARTITIONS * EACH)
const resume = last.consumer.pause([{ topic, partitions: [0] }])
await send(1)
await until('all but what is paused', () => last.seen.length === PARTITIONS * EACH + PARTITIONS - 1)
assert(!last.seen.some(([partition, offset]) => partition === 0 && offset === EACH), 'a paused partition is not read')
resume()
await until('what was paused', () => last.seen.length === PARTITIONS * (EACH + 1))
last.consumer.seek({ topic, partition: 3, offset: String(EACH) })
await until('what was sought', () => last.seen.length === PARTITIONS * (EACH + 1) + 1)
const { groups } = await admin.describeGroups([`${topic}-pattern`])
assert.strictEqual(groups[0].members.length, 1)
await last.stop()

assert((await admin.listGroups()).groups.some(({ groupId }) => groupId === `${topic}-range`))
await admin.deleteGroups([`${topic}-range`])
assert(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === `${topic}-range`))
await producer.disconnect()
await admin.disconnect()
const { version } = require('@confluentinc/kafka-javascript/package.json')
const did = 'share, leave, crash, cooperative, static, commits, a pattern, pause, seek, administration'
console.log(`@confluentinc/kafka-javascript ${version}, librdkafka ${client.librdkafkaVersion}: ${did}`)

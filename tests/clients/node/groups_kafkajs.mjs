// kafkajs in groups: share, regex, leave, a crash, commits, seek, pause and resume, administration.
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const { Kafka, logLevel } = createRequire(import.meta.url)('kafkajs')
const topic = process.env.FLOE_TOPIC ?? 'groups'
const brokers = [process.env.FLOE_BOOTSTRAP ?? '127.0.0.1:9092']
const group = `${topic}-group`
const PARTITIONS = 6
const EACH = 20
const kafka = new Kafka({ clientId: 'groups', brokers, logLevel: logLevel.NOTHING })

async function until(what, done) {
  for (const began = Date.now(); !(await done()); await sleep(20)) assert(Date.now() - began < 60_000, `not in a minute: ${what}`)
}

// A consumer, its partitions, and what it has seen.
class Member {
  constructor(groupId, subscription, commit = true) {
    this.seen = []
    this.assigned = []
    this.consumer = kafka.consumer({ groupId, sessionTimeout: 2000, rebalanceTimeout: 10_000, heartbeatInterval: 300, maxWaitTimeInMs: 200 })
    this.consumer.on('consumer.group_join', ({ payload }) => { this.assigned = payload.memberAssignment[topic] ?? [] })
    this.running = this.consumer.connect()
      .then(() => this.consumer.subscribe({ topics: [subscription], fromBeginning: true }))
      .then(() => this.consumer.run({
        autoCommit: commit,
        eachMessage: async ({ partition, message }) => { this.seen.push([partition, Number(message.offset), message.value.toString()]) },
      }))
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
  const member = new Member(process.argv[3], topic)
  await until('the member has partitions', () => member.assigned.length > 0)
  console.log('assigned')
  await sleep(120_000)
  process.exit(1)
}

const admin = kafka.admin()
await admin.connect()
assert(await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] }))
const producer = kafka.producer()
await producer.connect()
const records = (first) => Array.from({ length: PARTITIONS * EACH }, (_, n) => ({ partition: n % PARTITIONS, value: `value-${first + n}` }))
await producer.send({ topic, messages: records(0) })

const one = new Member(group, topic)
await share([one])
await until('one member sees all', () => one.seen.length === PARTITIONS * EACH)
const two = new Member(group, topic)
await share([one, two])
await two.stop()
await share([one])
const third = spawn(process.execPath, [fileURLToPath(import.meta.url), 'member', group], { stdio: ['ignore', 'pipe', 'inherit'] })
await once(third.stdout, 'data')
await until('the third member is there', () => one.assigned.length < PARTITIONS)
third.kill('SIGKILL')
await share([one])
await one.stop()

const committed = await admin.fetchOffsets({ groupId: group, topics: [topic] })
assert.deepStrictEqual(committed[0].partitions.map(({ offset }) => Number(offset)), Array(PARTITIONS).fill(EACH), 'all is committed')
await producer.send({ topic, messages: records(1000) })
const after = new Member(group, new RegExp(`^${topic}$`))
await until('what is new', () => after.seen.length === PARTITIONS * EACH)
assert(after.seen.every(([, offset]) => offset >= EACH), 'nothing before the commit is seen again')
after.consumer.pause([{ topic, partitions: [0] }])
await producer.send({ topic, messages: records(2000) })
await until('all but what is paused', () => after.seen.filter(([, offset]) => offset >= 2 * EACH).length === (PARTITIONS - 1) * EACH)
assert(after.seen.every(([partition, offset]) => partition !== 0 || offset < 2 * EACH), 'a paused partition is not read')
after.consumer.resume([{ topic, partitions: [0] }])
await until('what was paused', () => after.seen.length === 2 * PARTITIONS * EACH)
after.consumer.seek({ topic, partition: 3, offset: '1' })
await until('what was sought', () => after.seen.some(([partition, offset]) => partition === 3 && offset === 1))

const described = await admin.describeGroups([group])
assert.strictEqual(described.groups[0].state, 'Stable')
assert((await admin.listGroups()).groups.some(({ groupId }) => groupId === group))
await after.stop()
await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '7' }] })
const moved = await admin.fetchOffsets({ groupId: group, topics: [topic] })
assert.strictEqual(moved[0].partitions.find(({ partition }) => partition === 0).offset, '7')
await admin.deleteGroups([group])
assert(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === group))
await producer.disconnect()
await admin.disconnect()
console.log('kafkajs: share, leave, crash, commits, a pattern, pause, seek, administration of groups')

// @platformatic/kafka in groups: share, leave, a crash, static restarts, cooperative, commits, pause and resume, from given offsets,
// administration. It subscribes to names only, and pauses whole streams.
import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Admin, Consumer, Producer, cooperativeStickyAssigner, stringDeserializers, stringSerializers } from '@platformatic/kafka'

const topic = process.env.FLOE_TOPIC ?? 'groups'
const bootstrapBrokers = [process.env.FLOE_BOOTSTRAP ?? '127.0.0.1:9092']
const PARTITIONS = 6
const EACH = 20
const COOPERATIVE = { protocols: [{ name: 'cooperative-sticky', version: 1 }], partitionAssigner: cooperativeStickyAssigner }

async function until(what, done) {
  for (const began = Date.now(); !(await done()); await sleep(20)) assert(Date.now() - began < 60_000, `not in a minute: ${what}`)
}

// A consumer, its stream, and what it has seen.
class Member {
  constructor(groupId, more = {}, how = {}) {
    this.seen = []
    this.joins = 0
    const times = { sessionTimeout: 2000, rebalanceTimeout: 10_000, heartbeatInterval: 300, maxWaitTime: 200 }
    this.consumer = new Consumer({ clientId: 'groups', bootstrapBrokers, groupId, autocommit: 100, deserializers: stringDeserializers, ...times, ...more })
    this.consumer.on('consumer:group:join', () => { this.joins++ })
    this.running = this.consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest', ...how }).then((stream) => {
      this.stream = stream
      stream.on('data', ({ partition, offset }) => this.seen.push([partition, Number(offset)]))
    })
  }

  get assigned() {
    return this.consumer.assignments?.find((one) => one.topic === topic)?.partitions ?? []
  }

  async stop() {
    await this.running
    await this.consumer.close(true)
  }
}

const share = (members) => until(`${members.length} members share the topic`, () => {
  const parts = members.map((member) => member.assigned)
  return parts.every((part) => part.length > 0) && parts.flat().length === PARTITIONS && new Set(parts.flat()).size === PARTITIONS
})

const fixed = (name) => new Member(`${topic}-static`, { groupInstanceId: name, sessionTimeout: 10_000 })

// A member in a process of its own, and what it said of its partitions.
async function other(...how) {
  const process_ = spawn(process.execPath, [fileURLToPath(import.meta.url), 'member', ...how], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [told] = await once(process_.stdout, 'data')
  return [process_, String(told).trim()]
}

if (process.argv[2] === 'member') {
  // To be killed by whoever started it, once it has partitions.
  const name = process.argv[4]
  const member = name ? fixed(name) : new Member(process.argv[3])
  await until('the member has partitions', () => member.assigned.length > 0)
  console.log(`assigned ${[...member.assigned].sort()}`)
  await sleep(120_000)
  process.exit(1)
}

const admin = new Admin({ clientId: 'groups', bootstrapBrokers })
await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 1 })
const producer = new Producer({ clientId: 'groups', bootstrapBrokers, serializers: stringSerializers })
const send = (count) => producer.send({
  messages: Array.from({ length: count }, (_, n) => ({ topic, partition: n % PARTITIONS, value: `value-${n}` })),
})
await send(PARTITIONS * EACH)

const committed = async (group) => {
  const [found] = await admin.listConsumerGroupOffsets({ groups: [group] })
  return found.topics.flatMap(({ partitions }) => partitions.map(({ committedOffset }) => Number(committedOffset)))
}
const allCommitted = (group) => until('all is committed', async () => {
  const offsets = await committed(group)
  return offsets.length === PARTITIONS && offsets.every((offset) => offset === EACH)
})

const group = `${topic}-group`
const one = new Member(group)
await share([one])
await until('one member sees all', () => one.seen.length === PARTITIONS * EACH)
await allCommitted(group)
const two = new Member(group)
await share([one, two])
await two.stop()
await share([one])
const [third] = await other(group)
await until('the third member is there', () => one.assigned.length < PARTITIONS)
third.kill('SIGKILL')
await share([one])
assert.strictEqual(one.seen.length, PARTITIONS * EACH, 'what was committed is not read again')
await one.stop()

const cooperative = `${topic}-cooperative`
const first = new Member(cooperative, COOPERATIVE)
await share([first])
await until('one member sees all', () => first.seen.length === PARTITIONS * EACH)
await allCommitted(cooperative)
const second = new Member(cooperative, COOPERATIVE)
await share([first, second])
await second.stop()
await share([first])
assert.strictEqual(first.seen.length, PARTITIONS * EACH, 'what was committed is not read again')
await first.stop()

// It leaves when it is closed, static or not: one that restarts has to be killed.
const stays = fixed('stays')
await share([stays])
const [goes, told] = await other(`${topic}-static`, 'goes')
await until('two static members share', () => stays.assigned.length === PARTITIONS / 2)
const joins = stays.joins
goes.kill('SIGKILL')
const back = fixed('goes')
await share([stays, back])
assert.strictEqual(`assigned ${[...back.assigned].sort()}`, told, 'a static member comes back to what it had')
assert.strictEqual(stays.joins, joins, 'nobody was rebalanced')
await back.stop()
await stays.stop()

// From given offsets, and held back.
const offsets = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, offset: BigInt(EACH - 1) }))
const sought = new Member(`${topic}-sought`, {}, { mode: 'manual', offsets })
await until('what was sought', () => sought.seen.length === PARTITIONS)
assert(sought.seen.every(([, offset]) => offset === EACH - 1), 'from the given offsets')
sought.stream.pause()
await send(PARTITIONS)
assert.strictEqual(sought.seen.length, PARTITIONS, 'a paused stream gives nothing')
sought.stream.resume()
await until('what was held back', () => sought.seen.length === 2 * PARTITIONS)
const described = await admin.describeGroups({ groups: [`${topic}-sought`] })
assert.strictEqual(described.get(`${topic}-sought`).state, 'Stable')
await sought.stop()

assert((await admin.listGroups()).has(group))
await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 7n }] }] })
assert((await committed(group)).includes(7))
await admin.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionIndexes: [0] }] })
assert(!(await committed(group)).includes(7))
await admin.deleteGroups({ groups: [group] })
assert(!(await admin.listGroups()).has(group))
await producer.close()
await admin.close()
const { version } = JSON.parse(readFileSync(new URL('node_modules/@platformatic/kafka/package.json', import.meta.url)))
console.log(`@platformatic/kafka ${version}: share, leave, crash, cooperative, static, commits, pause, offsets, administration`)

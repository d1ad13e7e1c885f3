// A member of a group, by kafkajs of any version: says what it reads until it is told to end.
import { createRequire } from 'node:module'

const { Kafka, AssignerProtocol, logLevel } = createRequire(import.meta.url)(process.env.FLOE_MODULE)
const { MemberAssignment, MemberMetadata } = AssignerProtocol
const { FLOE_TOPIC: topic, FLOE_GROUP: groupId, FLOE_BOOTSTRAP: broker, FLOE_NAME: clientId } = process.env

// kafkajs calls its own assignor otherwise than all others do, so that it would be alone.
const roundrobin = ({ cluster }) => ({
  name: 'roundrobin',
  version: 1,
  async assign({ members }) {
    const shares = new Map(members.map(({ memberId }) => [memberId, []]))
    const ids = [...shares.keys()].sort()
    cluster.findTopicPartitionMetadata(topic).forEach(({ partitionId }, n) => shares.get(ids[n % ids.length]).push(partitionId))
    return ids.map((memberId) => ({
      memberId, memberAssignment: MemberAssignment.encode({ version: 0, assignment: { [topic]: shares.get(memberId) }, userData: Buffer.alloc(0) }),
    }))
  },
  protocol: ({ topics }) => ({ name: 'roundrobin', metadata: MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }) }),
})
const kafka = new Kafka({ clientId, brokers: [broker], logLevel: logLevel.NOTHING })
const times = { sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 200 }
const consumer = kafka.consumer({ groupId, partitionAssigners: [roundrobin], ...times })
process.on('SIGTERM', () => consumer.disconnect().then(() => process.exit(0)))
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  autoCommitInterval: 500,
  eachMessage: async ({ partition, message }) => { console.log(`${partition} ${message.offset} ${message.value}`) },
})

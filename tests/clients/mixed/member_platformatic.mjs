// A member of a group, by @platformatic/kafka of any version: says what it reads until it is told to end.
const { Consumer, stringDeserializers } = await import(process.env.FLOE_MODULE)
const { FLOE_TOPIC: topic, FLOE_GROUP: groupId, FLOE_BOOTSTRAP: broker, FLOE_NAME: clientId } = process.env

// Version 0 is what all others read of it.
const times = { sessionTimeout: 6000, rebalanceTimeout: 20_000, heartbeatInterval: 500, maxWaitTime: 200, protocols: [{ name: 'roundrobin', version: 0 }] }
const consumer = new Consumer({ clientId, bootstrapBrokers: [broker], groupId, autocommit: 500, deserializers: stringDeserializers, ...times })
process.on('SIGTERM', () => consumer.close(true).then(() => process.exit(0)))
const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
stream.on('data', ({ partition, offset, value }) => console.log(`${partition} ${offset} ${value}`))

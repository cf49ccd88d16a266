// The bridge one would write first: mqtt.js on one side, nats.js on the other, a callback between.
// It is measured beside the real one, so it is written as its libraries suggest and kept honest: no
// echo either way, and a QoS 1 message is acknowledged to the broker after the stream has it.
// The one argument is JSON: { mqttPort, natsPort, qos, direction }.
import mqtt from 'mqtt'
import { connect } from 'nats'

const { mqttPort, natsPort, qos, direction } = JSON.parse(process.argv[2])

/** @param {string} topic */
const subjectOf = (topic) => topic.replaceAll('/', '.')
/** @param {string} subject */
const topicOf = (subject) => subject.replaceAll('.', '/')

const nats = await connect({ servers: `127.0.0.1:${natsPort}`, noEcho: true })
const broker = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
  clientId: 'bench-plain',
  protocolVersion: 5,
})

if (direction !== 'natsToMqtt') await forwardToNats()
if (direction !== 'mqttToNats') forwardToMqtt()

async function forwardToNats() {
  if (qos === 0) {
    broker.on('message', (topic, payload) => nats.publish(subjectOf(topic), payload))
  } else {
    const streams = nats.jetstream()
    // mqtt.js sends the PUBACK when this callback is called, and hands over one packet at a time.
    broker.handleMessage = (packet, done) => {
      const { topic, payload } = /** @type {import('mqtt').IPublishPacket} */ (packet)
      streams.publish(subjectOf(topic), Buffer.from(payload)).then(() => done(), done)
    }
  }
  await broker.subscribeAsync('bench/#', { qos, nl: true })
}

function forwardToMqtt() {
  nats.subscribe('bench.>', {
    callback: (error, message) => {
      if (error) throw error
      const payload = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length)
      broker.publish(topicOf(message.subject), payload, { qos })
    },
  })
}

/**
 * What is carried. `share` is the part of `--messages` that is sent (a slow combination gets fewer,
 * so that each run takes about as long), `rate` a steady rate per second instead of as fast as it goes.
 *
 * @typedef {{
 *   name: string,
 *   title: string,
 *   direction: 'mqttToNats' | 'natsToMqtt',
 *   qos: 0 | 1,
 *   rate?: number,
 *   share: (peer: string) => number,
 * }} Scenario
 */

/** @type {Scenario[]} */
export const SCENARIOS = [
  {
    name: 'mqtt-to-nats-qos0',
    title: 'MQTT → NATS, QoS 0',
    direction: 'mqttToNats',
    qos: 0,
    share: () => 1,
  },
  {
    name: 'mqtt-to-nats-qos1',
    title: 'MQTT → NATS, QoS 1 into a stream',
    direction: 'mqttToNats',
    qos: 1,
    share: (peer) => (peer === 'plain' ? 0.02 : 0.2),
  },
  {
    name: 'nats-to-mqtt-qos0',
    title: 'NATS → MQTT, QoS 0',
    direction: 'natsToMqtt',
    qos: 0,
    share: () => 0.5,
  },
  {
    name: 'latency',
    title: 'MQTT → NATS, QoS 0, 1,000 a second',
    direction: 'mqttToNats',
    qos: 0,
    rate: 1000,
    share: () => 0.01,
  },
]

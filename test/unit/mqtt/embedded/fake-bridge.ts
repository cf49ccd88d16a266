import type { Duplex } from 'node:stream'
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type Packet,
  parser,
} from 'mqtt-packet'
import { eventually } from '../../../support/eventually.ts'

/** The bridge's end of its local connection, driven by hand. */
export class FakeBridge {
  readonly stream: Duplex
  readonly packets: Packet[] = []
  /** Publishes in the order they came, repeats included. */
  readonly received: IPublishPacket[] = []
  /** Whether publishes are acknowledged at once. */
  autoAck = true

  constructor(stream: Duplex) {
    this.stream = stream
    stream.on('error', () => undefined)
    const reading = parser()
    reading.on('packet', (packet: Packet) => this.#take(packet))
    stream.on('data', (chunk: Buffer) => reading.parse(chunk))
  }

  #take(packet: Packet): void {
    this.packets.push(packet)
    if (packet.cmd === 'publish') {
      this.received.push(packet)
      if (this.autoAck) this.ack(packet)
    }
    if (packet.cmd === 'pubrel') this.send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 })
  }

  send(packet: Packet): void {
    this.stream.write(generate(packet))
  }

  ack(packet: IPublishPacket): void {
    const messageId = packet.messageId ?? 0
    if (packet.qos > 0) this.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId })
  }

  async connect(clean = false, protocolVersion: 4 | 5 = 4): Promise<IConnackPacket> {
    const clientId = 'bridge'
    this.send({
      cmd: 'connect',
      clientId,
      clean,
      protocolVersion,
      protocolId: 'MQTT',
      keepalive: 0,
    })
    return this.expect('connack')
  }

  async subscribe(filter = '#', qos: 0 | 1 | 2 = 2): Promise<void> {
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos }] })
    await this.expect('suback')
  }

  /** The first packet of that kind that came. */
  expect<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    const isIt = (packet: Packet): packet is Extract<Packet, { cmd: C }> => packet.cmd === cmd
    return eventually(cmd, () => this.packets.find(isIt))
  }

  count(cmd: Packet['cmd']): number {
    return this.packets.filter((packet) => packet.cmd === cmd).length
  }

  async take(count: number): Promise<IPublishPacket[]> {
    await eventually(`${count} messages at the bridge`, () => this.received.length >= count)
    return this.received
  }

  texts(): string[] {
    return this.received.map(({ payload }) => payload.toString())
  }
}

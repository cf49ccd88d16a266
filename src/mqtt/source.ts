import { FrameBuffer } from '../core/frame-buffer.ts'
import type { MqttInlet } from '../core/lanes.ts'
import { PacketType, writeAck } from './frames.ts'
import type { MqttTap } from './tap.ts'

/** The reading end of the MQTT connection as the flow sees it: acknowledgements, gathered and written in one piece. */
export class MqttSource implements MqttInlet {
  generation = 0
  sessionBegan = 0
  readonly #acks = new FrameBuffer()
  #tap: MqttTap | undefined

  /** A new connection took the place of the old one: what came on the old one is not acknowledged any more. */
  attach(tap: MqttTap | undefined): void {
    this.#tap = tap
    this.generation++
    this.#acks.setAside(0)
  }

  acknowledge(packetId: number, qos: number): void {
    this.#append(qos === 2 ? PacketType.pubrec : PacketType.puback, packetId)
  }

  /** Ends a message of QoS 2 the broker released. */
  complete(packetId: number): void {
    this.#append(PacketType.pubcomp, packetId)
  }

  flushAcknowledgements(): void {
    const tap = this.#tap
    if (tap !== undefined && this.#acks.pending) this.#acks.flush((bytes) => tap.send(bytes))
  }

  release(): void {
    this.#tap?.release()
  }

  #append(type: number, packetId: number): void {
    if (this.#tap === undefined) return
    this.#acks.reserve(4)
    this.#acks.at = writeAck(this.#acks.buffer, this.#acks.at, type, packetId)
  }
}

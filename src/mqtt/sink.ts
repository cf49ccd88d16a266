import { FrameBuffer } from '../core/frame-buffer.ts'
import type { Outlet } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import { bodyStart, lengthBytes, MAX_BODY, PacketType, writeHeader } from './frames.ts'
import { FIRST_PACKET_ID, type MqttTap } from './tap.ts'

/** What the sink prepared for one topic: its bytes with their length before them. */
export interface MqttTarget {
  readonly topic: Buffer
}

/** Fixed header, packet id and an empty property block. */
const SLACK = 16

/** DUP flag of a PUBLISH [MQTT-3.3.1.1]. */
const DUP = 8

/** Publishes to MQTT: one PUBLISH per message; the packet id of QoS ≥ 1 names the slot. */
export class MqttSink implements Outlet<MqttTarget> {
  readonly frames = new FrameBuffer()
  frameStart = 0
  up = false
  v5 = false
  /** Maximum Packet Size of the broker, bytes. */
  maximumPacketSize: number = Number.POSITIVE_INFINITY
  /** Maximum QoS of the broker. */
  maximumQos = 2
  /** Whether the broker takes retained messages; to one that does not they go without the flag [MQTT-3.2.2-14]. */
  retainAvailable = true
  #tap: MqttTap | undefined

  /** Payload that surely fits beside the longest topic. */
  get maxPayload(): number {
    return Math.min(this.maximumPacketSize, MAX_BODY) - SLACK
  }

  get blocked(): boolean {
    return this.#tap?.blocked ?? false
  }

  /** A new connection took the place of the old one; `undefined` when there is none. */
  attach(tap: MqttTap | undefined): void {
    this.#tap = tap
  }

  prepare(topic: string): MqttTarget {
    const bytes = Buffer.from(topic)
    const target = Buffer.allocUnsafe(bytes.length + 2)
    target.writeUInt16BE(bytes.length, 0)
    bytes.copy(target, 2)
    return { topic: target }
  }

  encode(view: MessageView, target: MqttTarget, slot: number, qos: number): void {
    const { topic } = target
    const payload = view.payloadEnd - view.payloadStart
    const body = topic.length + (qos > 0 ? 2 : 0) + (this.v5 ? 1 : 0) + payload
    const frames = this.frames
    frames.reserve(body + SLACK)
    const out = frames.buffer
    this.frameStart = frames.at
    const first =
      (PacketType.publish << 4) | (qos << 1) | (view.retain && this.retainAvailable ? 1 : 0)
    let at = writeHeader(out, frames.at, first, body)
    at += topic.copy(out, at)
    if (qos > 0) {
      const packetId = FIRST_PACKET_ID + slot
      out[at++] = packetId >> 8
      out[at++] = packetId & 0xff
    }
    if (this.v5) out[at++] = 0
    frames.at = at + view.buffer.copy(out, at, view.payloadStart, view.payloadEnd)
  }

  /** Whole packet of a message, bytes; to be held against {@link maximumPacketSize}. */
  packetBytes(view: MessageView, target: MqttTarget): number {
    const body = target.topic.length + 3 + view.payloadEnd - view.payloadStart
    return 1 + lengthBytes(body) + body
  }

  write(bytes: Buffer): void {
    this.#tap?.send(bytes)
  }

  addressOf(frame: Buffer, start: number): string {
    const topic = bodyStart(frame, start)
    return frame.utf8Slice(topic + 2, topic + 2 + frame.readUInt16BE(topic))
  }

  /** The same packet with or without the empty property block, as the version now in use has it. */
  recode(frame: Buffer): Buffer {
    const topic = bodyStart(frame, 0)
    const qos = ((frame[0] as number) >> 1) & 3
    const fixed = 2 + frame.readUInt16BE(topic) + (qos > 0 ? 2 : 0)
    const payload = topic + fixed + (this.v5 ? 0 : 1)
    const body = fixed + (this.v5 ? 1 : 0) + frame.length - payload
    const out = Buffer.alloc(1 + lengthBytes(body) + body)
    let at = writeHeader(out, 0, frame[0] as number, body)
    at += frame.copy(out, at, topic, topic + fixed)
    if (this.v5) at++
    frame.copy(out, at, payload)
    return out
  }

  /** Marks a kept frame as sent before; what went out on an old connection is not read again from there. */
  markRepeated(frame: Buffer, start: number): void {
    frame[start] = (frame[start] as number) | DUP
  }
}

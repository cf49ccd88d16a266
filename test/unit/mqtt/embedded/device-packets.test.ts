import fc from 'fast-check'
import { generate, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { checkDevicePacket } from '../../../../src/mqtt/embedded/device-packets.ts'

describe('packets of devices', () => {
  test.each([
    generate({ cmd: 'connect', clientId: 'a', protocolVersion: 4, protocolId: 'MQTT' }),
    generate({ cmd: 'publish', topic: 'a/b', payload: 'x', qos: 0, dup: false, retain: false }),
    generate({
      cmd: 'publish',
      topic: 'a',
      payload: '',
      qos: 2,
      messageId: 7,
      dup: true,
      retain: true,
    }),
    generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#', qos: 1 }] }),
    generate({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['a'] }),
    generate({ cmd: 'puback', messageId: 1 }),
    generate({ cmd: 'pubrel', messageId: 1 }),
    generate({ cmd: 'pingreq' }),
    generate({ cmd: 'disconnect' }),
  ])('a sound packet passes (%#)', (packet) => {
    expect(() => checkDevicePacket(packet)).not.toThrow()
  })

  test.each([
    ['QoS 3', [0x36, 5, 0, 1, 97, 0, 1]],
    ['a topic over the end', [0x30, 3, 0, 9, 97]],
    ['no topic length', [0x30, 1, 0]],
    ['no packet id', [0x32, 3, 0, 1, 97]],
    ['packet id 0', [0x32, 5, 0, 1, 97, 0, 0]],
    ['NUL in the topic', [0x30, 3, 0, 1, 0]],
    ['a topic that is not UTF-8', [0x30, 3, 0, 1, 0xff]],
    ['a short PUBACK', [0x40, 1, 0]],
    ['PUBREL without its flags', [0x60, 2, 0, 1]],
    ['PINGREQ with a body', [0xc0, 1, 0]],
    ['a SUBACK from a client', [0x90, 3, 0, 1, 0]],
    ['AUTH', [0xf0, 0]],
    ['an empty SUBSCRIBE', [0x82, 2, 0, 1]],
    ['a CONNECT of nothing', [0x10, 0]],
  ])('%s is refused', (_, bytes) => {
    expect(() => checkDevicePacket(Buffer.from(bytes))).toThrow(
      expect.objectContaining({ code: 'PROTOCOL_ERROR' }),
    )
  })

  test('what passes, the parser of the broker takes without throwing', () => {
    const types = fc.integer({ min: 1, max: 15 })
    const bodies = fc.uint8Array({ maxLength: 40 })
    fc.assert(
      fc.property(types, fc.integer({ min: 0, max: 15 }), bodies, (type, flags, body) => {
        const packet = Buffer.from([(type << 4) | flags, body.length, ...body])
        try {
          checkDevicePacket(packet)
        } catch (error) {
          expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' })
          return
        }
        const trial = parser()
        let parsed = 0
        trial.on('packet', () => parsed++)
        trial.parse(packet)
        expect(parsed).toBe(1)
      }),
      { numRuns: 5_000 },
    )
  })
})

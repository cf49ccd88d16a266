import { once } from 'node:events'
import { connect } from 'node:net'
import { generate } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { connectMqtt } from '../../support/raw-mqtt.ts'
import { connectNats } from '../../support/raw-nats.ts'
import { MQTT, natsInfo, startScriptedPeer } from '../../support/scripted-peer.ts'

describe('the scripted peer', () => {
  it('plays an MQTT broker that the raw client believes', async () => {
    await using peer = await startScriptedPeer(async (c) => {
      await c.expectPacket(MQTT.CONNECT)
      c.send(MQTT.connack5)
      const publish = await c.expectPacket(MQTT.PUBLISH)
      const id = publish.subarray(2 + 2 + 1, 2 + 2 + 1 + 2)
      c.send(Buffer.concat([Buffer.from([0x40, 2]), id]))
      const message = { cmd: 'publish', topic: 'x', payload: 'y', qos: 0 } as const
      c.send(generate({ ...message, dup: false, retain: false }, { protocolVersion: 5 }))
      await c.expectPacket(MQTT.DISCONNECT)
    })
    const client = await connectMqtt({ port: peer.port })
    expect(await client.publish('t', 'p', { qos: 1, packetId: 7 })).toBe(0)
    expect((await client.take(1))[0]).toMatchObject({ topic: 'x', qos: 0 })
    await client.close()
    await peer.finished(1)
  })

  it('plays a NATS server that the raw client believes', async () => {
    await using peer = await startScriptedPeer(async (c) => {
      c.send(natsInfo({ server_name: 'mine' }))
      expect(await c.expectLine()).toMatch(/^CONNECT \{/)
      await c.expectBytes('PING\r\n')
      c.send('PONG\r\n')
      expect(await c.expectLine()).toBe('SUB a.* 1')
      c.send('MSG a.b 1 2\r\nhi\r\n')
    })
    await using client = await connectNats({ port: peer.port })
    expect(client.info).toMatchObject({ server_name: 'mine' })
    const [message] = await client.subscribe('a.*').take(1)
    expect(message?.data.toString()).toBe('hi')
    await peer.finished(1)
  })

  it('tells the client what the server says when it refuses', async () => {
    await using peer = await startScriptedPeer(async (c) => {
      c.send(natsInfo())
      await c.expectBytes('PING\r\n')
      c.send("-ERR 'Authorization Violation'\r\n")
      c.socket.end()
    })
    await expect(connectNats({ port: peer.port })).rejects.toThrow('Authorization Violation')
  })

  it('reports a script that waits in vain', async () => {
    await using peer = await startScriptedPeer(async (c) => {
      await c.expectBytes('never', 20)
    })
    const socket = connect(peer.port, '127.0.0.1')
    await expect(peer.finished(1)).rejects.toThrow("waiting for the bytes 'never'")
    socket.destroy()
  })

  it('reports a client that goes away in the middle of a script', async () => {
    await using peer = await startScriptedPeer(async (c) => {
      await c.expectLine()
    })
    const socket = connect(peer.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.end('half a line')
    await expect(peer.finished(1)).rejects.toThrow('closed the connection')
  })

  it('runs the script once for each connection and can reset', async () => {
    await using peer = await startScriptedPeer((c) => {
      if (c.number === 1) c.reset()
      else c.send('second')
    })
    const first = connect(peer.port, '127.0.0.1')
    await once(first, 'error')
    const second = connect(peer.port, '127.0.0.1')
    const [data] = await once(second, 'data')
    expect(String(data)).toBe('second')
    second.destroy()
  })
})

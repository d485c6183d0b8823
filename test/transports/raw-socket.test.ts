import type { AddressInfo } from 'node:net'
import { Socket } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { textFrame } from '../../lib/transports/frames.js'
import { rawSocket } from '../../lib/transports/raw-socket.js'
import { connect, newRoom, startApp, until } from '../helpers.js'
import { openRaw } from '../hostile/raw.js'

test('ws keeps its socket where we look for it', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const received: string[] = []
  client.on('message', (data) => received.push(String(data)))
  client.on('ping', (data) => received.push(`ping ${data}`))
  t.teardown(() => client.terminate())
  const [[websocket]] = await Promise.all([once(server, 'connection') as Promise<[WebSocket]>, once(client, 'open')])
  const socket = rawSocket(websocket)
  t.ok(socket instanceof Socket, 'a socket of node:net')
  t.equal((socket as Socket).remotePort, (client as unknown as { _socket: Socket })._socket.localPort, 'this client\'s')

  // What is written past ws, and what is written by it, come in the order of writing.
  socket.write(textFrame('1'))
  websocket.ping('2')
  socket.write(textFrame('3'))
  socket.write(textFrame('x'.repeat(100_000)))
  websocket.ping('4')
  socket.write(textFrame('5'))
  websocket.close(4000, 'end')
  const [code, reason] = await once(client, 'close')
  t.same(received.map((text) => text.slice(0, 6)), ['1', 'ping 2', '3', 'xxxxxx', 'ping 4', '5'])
  t.same([code, String(reason)], [4000, 'end'])
})

test('without a socket it says which ws is needed', async (t) => {
  t.throws(() => rawSocket({} as WebSocket), /install ws 8/)
  t.throws(() => rawSocket({ _socket: {} } as unknown as WebSocket), /install ws 8/)
})

test('messages, pongs, answers and the close come whole and in order under load', async (t) => {
  const { app, url } = await startApp(t, { limits: { framesPerSecond: 1e6 }, compression: true })
  const room = newRoom()
  for (const options of [{ perMessageDeflate: true }, { perMessageDeflate: false }]) {
    const client = await connect(t, url, `/rooms?room=${room}`, [], options)
    await client.frame({ type: 'subscribed' })
    const pongs: string[] = []
    client.websocket.on('pong', (data) => pongs.push(String(data)))
    for (let n = 0; n < 300; n++) {
      await app.rooms.publish(room, { n, pad: 'x'.repeat(n % 3 === 0 ? 3_000 : 10) })
      client.websocket.ping(String(n))
      client.send({ type: 'ping', ref: n })
      if (n % 10 === 0) await new Promise(setImmediate)
    }
    await until(() => client.of('message').length === 300 && client.of('pong').length === 300 && pongs.length === 300)
    const counted = Array.from({ length: 300 }, (_, n) => n)
    t.same(client.of('message').map(({ data }) => data.n), counted)
    t.same(client.of('pong').map(({ ref }) => ref), counted)
    t.same(pongs, counted.map(String))
    client.websocket.close(4123)
    t.equal((await client.close()).code, 4123)
  }
})

test('what was written before a close comes before it', async (t) => {
  const { app, url } = await startApp(t, { authenticate: () => ({ user: 'u' }) })
  const room = newRoom()
  const client = await openRaw(t, url, `/rooms?room=${room}`)
  await client.message({ type: 'subscribed' })
  for (let n = 0; n < 50; n++) await app.rooms.publish(room, n)
  await client.message({ type: 'message', data: 49 })
  await app.rooms.publish(room, 'last')
  await new Promise(setImmediate)
  await app.rooms.disconnect({ user: 'u' })
  t.equal(await client.close(), 4403)
  t.equal(client.messages.at(-1)?.['data'], 'last')
  t.equal(client.frames.at(-1)?.opcode, 8, 'and nothing after it')
})

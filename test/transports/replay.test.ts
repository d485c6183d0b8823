import type { FastifyInstance } from 'fastify'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import { newRoom, openStream, startApp, until } from '../helpers.js'
import { openRaw } from '../hostile/raw.js'

const KiB = 1024
const MiB = 1024 * KiB
const limits = { framesPerSecond: 100_000, roomsPerConnection: 1_000 }

/** The sockets of the server, to see what is unsent. */
function socketsOf (app: FastifyInstance): Set<Socket> {
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  return sockets
}

const unsent = (sockets: Set<Socket>): number => [...sockets].reduce((sum, { writableLength }) => sum + writableLength, 0)

async function fill (app: FastifyInstance, room: string, count: number, size: number): Promise<void> {
  await app.rooms.publishMany(Array.from({ length: count }, (_, n) => ({ room, data: { n, pad: 'x'.repeat(size) } })))
}

test('a client that reads slowly gets a window of 4 MiB and the live stream behind it, in order, once', async (t) => {
  const { app, url } = await startApp(t, { limits })
  const [replayed, live] = [newRoom(), newRoom()]
  await fill(app, replayed, 500, 8 * KiB)
  const client = await openRaw(t, url, `/rooms?room=${live}`)
  await client.message({ type: 'subscribed', room: live })
  client.send({ type: 'subscribe', room: replayed, since: 'earliest' })
  client.socket.pause()
  for (let n = 500; n < 700; n++) {
    await app.rooms.publish(replayed, { n })
    await app.rooms.publish(live, { n })
    // A little at a time.
    client.socket.resume()
    await once(client.socket, 'data')
    client.socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  client.socket.resume()
  await until(() => client.frames.length === 3 + 700 + 200)
  const { messages } = client
  const numbers = (name: string): number[] => messages.filter(({ type, room }) => type === 'message' && room === name).map(({ data }) => data.n)
  t.same(numbers(replayed), [...Array(700).keys()])
  t.same(numbers(live), [...Array(700).keys()].slice(500))
  t.notOk(messages.some(({ type }) => type === 'gap'))
})

test('many rooms replay on one connection at once, and a client that does not read holds up little', async (t) => {
  const { app, url } = await startApp(t, { limits })
  const sockets = socketsOf(app)
  const rooms = Array.from({ length: 100 }, newRoom)
  for (const room of rooms) await fill(app, room, 10, 32 * KiB)
  const client = await openRaw(t, url)
  client.socket.pause()
  for (const room of rooms) client.send({ type: 'subscribe', room, since: 'earliest' })
  await until(() => app.rooms.stats().subscriptions === 100)
  await app.rooms.publish(newRoom(), 1)
  const held = unsent(sockets)
  t.ok(held < MiB, `${held} bytes are unsent, of ${rooms.length * 10 * 32 * KiB}`)
  client.socket.resume()
  await until(() => client.frames.length === 1 + rooms.length * 11, 'all that was replayed', 30_000)
  const { messages } = client
  for (const room of rooms) {
    const own = messages.filter((message) => message['room'] === room)
    t.same(own.map(({ type, data }) => type === 'message' ? data.n : type), ['subscribed', ...Array(10).keys()])
  }
})

test('to subscribe again and again without reading holds up little', async (t) => {
  const { app, url } = await startApp(t, { limits })
  const sockets = socketsOf(app)
  const room = newRoom()
  await fill(app, room, 4, MiB - 100)
  const client = await openRaw(t, url)
  client.socket.pause()
  const delivered = app.rooms.stats().delivered
  for (let i = 0; i < 50; i++) {
    client.send({ type: 'subscribe', room, since: 'earliest' })
    await until(() => app.rooms.stats().subscriptions === 1)
    client.send({ type: 'unsubscribe', room })
    await until(() => app.rooms.stats().subscriptions === 0)
  }
  const held = unsent(sockets)
  t.ok(held < 4 * MiB, `${held} bytes are unsent`)
  t.ok(app.rooms.stats().delivered - delivered < 20, `${app.rooms.stats().delivered - delivered} messages were written`)
})

test('asking without reading the answers', async (t) => {
  const { app, url } = await startApp(t, { limits: { ...limits, framesPerSecond: 1e9, queue: 64 * KiB } })
  const sockets = socketsOf(app)
  const client = await openRaw(t, url)
  client.socket.pause()
  let most = 0
  for (let i = 0; i < 3_000 && app.rooms.stats().slow === 0; i++) {
    for (let k = 0; k < 100; k++) client.send({ type: 'ping', ref: 'x'.repeat(60) })
    await new Promise(setImmediate)
    most = Math.max(most, unsent(sockets))
  }
  t.equal(app.rooms.stats().slow, 1, 'it is closed for being too slow')
  t.ok(most < 512 * KiB, `${most} bytes were unsent at most`)
  client.socket.resume()
  t.ok([4408, 1006].includes(await client.close()))
})

test('an event stream that reads slowly gets its replay whole', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  await fill(app, room, 400, 8 * KiB)
  const stream = await openStream(t, `${url}/rooms/${room}/events?since=earliest`)
  await until(() => stream.events.length === 401, 'all events', 20_000)
  t.same(stream.events.slice(1).map(({ data }) => JSON.parse(data).n), [...Array(400).keys()])
})

test('a client that takes its replay slowly is alive, although it has yet to come to the ping', async (t) => {
  const { app, url } = await startApp(t, { heartbeat: { interval: 1_000, timeout: 1_500 }, limits })
  const rooms = Array.from({ length: 10 }, newRoom)
  for (const room of rooms) await fill(app, room, 40, 32 * KiB)
  const client = await openRaw(t, url)
  for (const room of rooms) client.send({ type: 'subscribe', room, since: 'earliest' })
  client.socket.pause()
  // Of some 3 MiB that the system holds before the ping, a third at a time is made room for.
  const started = performance.now()
  const due = (): number => (performance.now() - started) * 1.2 * KiB
  while (performance.now() - started < 6_000 && app.rooms.stats().connections.websocket === 1) {
    client.socket.resume()
    while (client.socket.bytesRead < due()) await once(client.socket, 'data')
    client.socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (const { opcode, payload } of client.frames.splice(0)) if (opcode === 9) client.send(payload.toString(), { opcode: 10 })
  }
  t.equal(app.rooms.stats().connections.websocket, 1)
  // One that stops reading is not.
  await until(() => app.rooms.stats().connections.websocket === 0, 'the end of a dead one')
})

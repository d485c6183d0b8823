import { request } from 'node:http'
import { connect as connectTcp } from 'node:net'
import { once } from 'node:events'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { clientFrame, dial, handshake, openRaw } from '../hostile/raw.js'
import { connect, newRoom, openStream, post, startApp, until, withKey } from '../helpers.js'
import { Barrier, ownBroker } from '../app/broker.js'

test('app.close(): sockets get 1001, streams end, and all is let go', async (t) => {
  const { app, url } = await startApp(t, { presence: true })
  const room = newRoom()
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(t, url, `/rooms?room=${room}`)))
  const streams = await Promise.all(Array.from({ length: 20 }, () => openStream(t, `${url}/rooms/${room}/events`)))
  await until(() => app.rooms.stats().subscriptions === 40)
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 4_500, 'before the close timeout')
  for (const client of clients) t.match(await client.close(), { code: 1001, reason: /leaving/ })
  await until(() => streams.every(({ ended }) => ended))
  t.match(app.rooms.stats(), { subscriptions: 0, connections: { websocket: 0, events: 0 } })
  t.equal(app.rooms.ready, false)
  await t.rejects(app.rooms.publish(room, 1), { code: 'FAN_OUT_ERR_CLOSING' })
  await t.rejects(app.rooms.subscribe(room, () => {}), { code: 'FAN_OUT_ERR_CLOSING' })
  await t.rejects(app.rooms.disconnect({ user: 'u' }), { code: 'FAN_OUT_ERR_CLOSING' })
  t.match(await app.rooms.publishMany([{ room, data: 1 }]), [{ error: { statusCode: 503 } }])
  await t.rejects(connect(t, url), /ECONNREFUSED/)
})

test('app.close() twice, at once and after; before listening; without a start', async (t) => {
  const { app, url } = await startApp(t)
  const client = await connect(t, url, '/rooms?room=a')
  await client.frame({ type: 'subscribed' })
  await Promise.all([app.close(), app.close(), app.rooms.drain()])
  await app.close()
  t.match(await client.close(), { code: 1001 })
  const ready = Fastify()
  await ready.register(fanOut)
  await ready.ready()
  await ready.close()
  const never = Fastify()
  never.register(fanOut)
  await never.close()
})

test('a subscription in the process ends with the app', async (t) => {
  const { app } = await startApp(t)
  const room = newRoom()
  const events: unknown[] = []
  await app.rooms.subscribe(room, (event) => { events.push(event) })
  await app.rooms.publish(room, 1)
  await until(() => events.length === 1)
  await app.close()
  t.equal(app.rooms.stats().subscriptions, 0)
})

test('dead peers are waited for, but not for ever', async (t) => {
  const { app, url } = await startApp(t, { close: { timeout: 300 } })
  const room = newRoom()
  // One never answers the close; one never reads, with much unread; one stream never reads.
  const deaf = await openRaw(t, url, `/rooms?room=${room}`)
  const blocked = await openRaw(t, url, `/rooms?room=${room}`)
  blocked.socket.pause()
  const { hostname, port } = new URL(url)
  const stream = connectTcp(Number(port), hostname)
  t.teardown(() => stream.destroy())
  stream.on('error', () => {})
  stream.write(`GET /rooms/${room}/events HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => app.rooms.stats().subscriptions === 3)
  stream.pause()
  for (let i = 0; i < 40; i++) await app.rooms.publish(room, 'x'.repeat(20_000))
  const start = performance.now()
  await app.close()
  const took = performance.now() - start
  t.ok(took < 10_000, `took ${took} ms`)
  t.equal(await deaf.close(), 1001)
  t.match(app.rooms.stats().connections, { websocket: 0, events: 0 })
})

test('publishes in flight at close are acknowledged, over HTTP and WebSocket', async (t) => {
  const barrier = new Barrier()
  const { app, url } = await startApp(t, {
    clientPublish: true,
    broker: ownBroker((inner) => ({ publish: async (messages) => { if (messages[0]!.room.startsWith('room:')) await barrier.pass(); return await inner.publish(messages) } }))
  })
  const room = newRoom()
  const client = await connect(t, url, '/rooms', [], { headers: withKey })
  client.send({ type: 'publish', room, data: 'socket', ref: 1 })
  const http = post(`${url}/rooms/${room}`, 'http')
  const batch = post(`${url}/rooms`, { rooms: [room], data: 'batch' })
  const own = app.rooms.publish(room, 'app')
  await until(() => barrier.waiting === 4)
  const closing = app.close()
  await until(() => !app.rooms.ready)
  barrier.open()
  t.match(await http, { status: 200, body: { room } })
  t.match(await batch, { status: 200, body: { failed: 0 } })
  t.match(await own, { room })
  t.match(await client.close(), { code: 1001 })
  t.match(client.of('published'), [{ room, ref: 1 }])
  await closing
})

test('a publish that never ends does not hold up the close', async (t) => {
  const { app, url } = await startApp(t, {
    clientPublish: true,
    close: { timeout: 300 },
    brokerOptions: { publishTimeout: 500 },
    broker: ownBroker((inner) => ({ publish: async (messages) => messages[0]!.room.startsWith('room:') ? await new Promise(() => {}) : await inner.publish(messages) }))
  })
  const room = newRoom()
  const client = await connect(t, url, '/rooms', [], { headers: withKey })
  client.send({ type: 'publish', room, data: 1 })
  const http = post(`${url}/rooms/${room}`, 1)
  client.send({ type: 'ping' })
  await client.frame({ type: 'pong' })
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 10_000)
  t.match(await client.close(), { code: 1001 })
  t.match(await http, { status: 503, body: { code: 'FAN_OUT_ERR_BROKER_AWAY' } })
  t.ok(await (await http).headers.get('retry-after'))
})

test('handshakes half open, and authentication that never ends, do not hold up the close', async (t) => {
  const { app, url } = await startApp(t, { authenticate: async () => await new Promise<null>(() => {}), close: { timeout: 300 } })
  const pending = await openRaw(t, url, '/rooms?room=a', { Authorization: 'Bearer x' })
  const early = await dial(t, url)
  early.write(Buffer.concat([Buffer.from(handshake(url)), clientFrame('{"type":"auth","token":"x"}')]))
  await early.message({ type: 'welcome' })
  await until(() => app.rooms.stats().connections.websocket === 2)
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 10_000)
  t.equal(await pending.close(), 1001)
  t.equal(await early.close(), 1001)
})

test('connections that are kept alive do not hold up the close', async (t) => {
  const { app, url } = await startApp(t)
  const { hostname, port } = new URL(url)
  const kept = request({ hostname, port, path: '/rooms/a/history', agent: false, headers: { connection: 'keep-alive' } })
  kept.end()
  const [response] = await once(kept, 'response')
  response.resume()
  await once(response, 'end')
  await app.close()
})

test('a client that keeps the connection of its stream does not hold up the close', async (t) => {
  const { app, url } = await startApp(t)
  const kept = await dial(t, url)
  let text = ''
  kept.socket.on('data', (chunk) => { text += String(chunk) })
  kept.write('GET /rooms/a/events HTTP/1.1\r\nHost: x\r\n\r\n')
  await until(() => text.includes('event: subscribed'))
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 4_500, 'before the close timeout')
  await until(() => kept.ended)
  t.match(text, /0\r\n\r\n$/, 'it ended, and was not cut off')
})

import type { Test } from 'tap'
import { test } from 'tap'
import { call, misshapen } from '../hostile/http.js'
import { openRaw } from '../hostile/raw.js'
import { Client, connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'

const MiB = 1024 * 1024

/** A client whose connection may be refused after it was taken. */
function open (t: Test, url: string, path = '/rooms'): Client {
  const client = new Client(url + path)
  t.teardown(() => client.websocket.terminate())
  return client
}

test('the size of a frame', async (t) => {
  const { url } = await startApp(t, { limits: { frame: 1_000 } })
  const client = await connect(t, url)
  t.equal((await client.frame({ type: 'welcome' }))['limits'].frame, 1_000)
  const ping = (size: number): string => `{"type":"ping","x":"${'x'.repeat(size - 22)}"}`
  client.send(ping(1_000))
  await client.frame({ type: 'pong' })
  client.send(ping(1_001))
  t.equal((await client.close()).code, 1009)
})

test('rooms on one connection', async (t) => {
  const { app, url } = await startApp(t, { limits: { roomsPerConnection: 3 } })
  const rooms = [newRoom(), newRoom(), newRoom(), newRoom()]
  const client = await connect(t, url, `/rooms?${rooms.map((room) => `room=${room}`).join('&')}`)
  t.match(await client.frame({ type: 'error' }), { code: 'FAN_OUT_ERR_TOO_MANY_ROOMS', room: rooms[3] })
  client.send({ type: 'unsubscribe', room: rooms[0] })
  client.send({ type: 'subscribe', room: rooms[3], ref: 1 })
  client.send({ type: 'subscribe', room: rooms[0], ref: 2 })
  await client.frame({ type: 'subscribed', ref: 1 })
  await client.frame({ type: 'error', ref: 2 })
  // What is refused, asked for twice, or not there to be left, takes no place.
  for (let n = 0; n < 10; n++) {
    client.send({ type: 'unsubscribe', room: newRoom() })
    client.send({ type: 'subscribe', room: rooms[1] })
  }
  client.send({ type: 'unsubscribe', room: rooms[1], ref: 3 })
  await client.frame({ type: 'unsubscribed', ref: 3 })
  client.send({ type: 'subscribe', room: rooms[0], ref: 4 })
  await client.frame({ type: 'subscribed', ref: 4 })
  t.equal(app.rooms.stats().subscriptions, 3)
})

test('a room that was denied takes no place', async (t) => {
  const { url } = await startApp(t, { limits: { roomsPerConnection: 1 }, authorize: ({ room }) => room === 'allowed' })
  const client = await connect(t, url)
  for (let n = 0; n < 5; n++) {
    client.send({ type: 'subscribe', room: 'denied', ref: n })
    await client.frame({ type: 'error', ref: n })
  }
  client.send({ type: 'subscribe', room: 'allowed' })
  await client.frame({ type: 'subscribed' })
})

test('frames a second, and their burst', async (t) => {
  const { url } = await startApp(t, { limits: { framesPerSecond: 10 } })
  const burst = await connect(t, url)
  for (let n = 0; n < 40; n++) burst.send({ type: 'ping' })
  await until(() => burst.of('pong').length === 40)
  t.equal(burst.closed, undefined, 'four times as many at once')
  for (let n = 0; n < 40; n++) burst.send({ type: 'ping' })
  t.equal((await burst.close()).code, 4429)
  t.ok(burst.of('pong').length < 80)
})

test('connections', async (t) => {
  const { app, url } = await startApp(t, { limits: { connections: 2 } })
  const room = newRoom()
  await app.rooms.publish(room, 1)
  const first = await connect(t, url, `/rooms?room=${room}`)
  const second = await openStream(t, `${url}/rooms/${room}/events`)
  await second.event({ event: 'subscribed' })
  const third = open(t, url, `/rooms?room=${room}`)
  t.equal((await third.close()).code, 1013)
  t.same(third.frames.map(({ type }) => type), ['welcome'], 'it is told nothing else')

  const refused = await call(url, { path: `/rooms/${room}/events` })
  t.match(refused, { status: 503, body: { code: 'FAN_OUT_ERR_SERVER_FULL' }, headers: { 'retry-after': /^[1-9]\d*$/ } })
  t.equal(misshapen(refused), undefined)
  const back = await call(url, { path: `/rooms/${room}/events`, headers: { 'last-event-id': '1-1' } })
  t.match(back, { status: 200, headers: { 'content-type': 'text/event-stream' }, text: /^retry: \d{4}\n\n$/ })

  first.websocket.close()
  await until(() => app.rooms.stats().connections.websocket === 0)
  const fourth = open(t, url, `/rooms?room=${room}`)
  await fourth.frame({ type: 'subscribed' })
})

test('connections of one address', async (t) => {
  const { app, url } = await startApp(t, { limits: { connectionsPerAddress: 2 } }, { trustProxy: true })
  const room = newRoom()
  const from = (address: string): Client => {
    const client = new Client(`${url}/rooms?room=${room}`, [], { headers: { 'x-forwarded-for': address } })
    t.teardown(() => client.websocket.terminate())
    return client
  }
  const clients = [from('192.0.2.1'), from('192.0.2.1'), from('192.0.2.2')]
  for (const client of clients) await client.frame({ type: 'subscribed' })
  t.equal((await from('192.0.2.1').close()).code, 4429)
  const headers = { 'x-forwarded-for': '192.0.2.1' }
  const refused = await call(url, { path: `/rooms/${room}/events`, headers })
  t.match(refused, { status: 429, body: { code: 'FAN_OUT_ERR_TOO_MANY_CONNECTIONS' } })
  t.equal(misshapen(refused), undefined, 'with Retry-After')
  t.match(await call(url, { path: `/rooms/${room}/events`, headers: { ...headers, 'last-event-id': '1-1' } }), { status: 200, text: /^retry: \d{4}\n\n$/ })
  await from('192.0.2.2').frame({ type: 'subscribed' })
  clients[0]?.websocket.terminate()
  await until(() => app.rooms.stats().connections.websocket === 3)
  await from('192.0.2.1').frame({ type: 'subscribed' })
})

test('the time for a first token', async (t) => {
  const { url } = await startApp(t, { limits: { firstFrame: 100 }, authenticate: (_request, token) => { if (token !== 'good') throw new Error(); return { user: 'u' } } })
  const silent = await openRaw(t, url)
  const pinging = await openRaw(t, url)
  pinging.send({ type: 'ping' })
  t.equal(await pinging.close(), 4401, 'no frame is taken before it')
  t.equal(await silent.close(), 4401)
  const good = await connect(t, url)
  good.send({ type: 'auth', token: 'good' })
  await good.frame({ type: 'authenticated', user: 'u' })
  await until(() => silent.ended)
  t.equal(good.closed, undefined)
})

test('an authenticate that never answers is no way to stay', async (t) => {
  const { app, url } = await startApp(t, { limits: { firstFrame: 100 }, authenticate: () => new Promise(() => {}) })
  const client = await openRaw(t, url, '/rooms?room=a', { Authorization: 'Bearer x' })
  client.send({ type: 'subscribe', room: 'b' })
  t.equal(await client.close(), 4401)
  await until(() => app.rooms.stats().connections.websocket === 0)
})

test('the size of a body, and of a batch', async (t) => {
  const { app, url } = await startApp(t, { limits: { body: 1_000, batch: 2 } })
  const room = newRoom()
  const headers = { ...withKey, 'content-type': 'application/json' }
  const post = (size: number, chunked: boolean) => call(url, { method: 'POST', path: `/rooms/${room}`, headers, body: `"${'x'.repeat(size - 2)}"`, chunked })
  for (const chunked of [false, true]) {
    t.equal((await post(1_000, chunked)).status, 200)
    for (const size of [1_001, 8 * MiB]) {
      const refused = await post(size, chunked)
      t.match(refused, { status: 413, body: { code: 'FAN_OUT_ERR_TOO_LARGE' } }, `${size} bytes, ${chunked ? 'chunked' : 'announced'}`)
      t.equal(misshapen(refused), undefined)
    }
  }
  const batch = (count: number) => call(url, { method: 'POST', path: '/rooms', headers, body: JSON.stringify({ messages: Array(count).fill({ room, data: 1 }) }) })
  t.match(await batch(2), { status: 200, body: { failed: 0 } })
  t.match(await batch(3), { status: 413, body: { code: 'FAN_OUT_ERR_TOO_LARGE' } })
  await t.rejects(app.rooms.publish(room, 'x'.repeat(999)), { code: 'FAN_OUT_ERR_TOO_LARGE' })
  t.equal(app.rooms.stats().published, 4)
})

test('the length of a replay', async (t) => {
  const { app, url } = await startApp(t, { limits: { replay: 5 } })
  const room = newRoom()
  await app.rooms.publish(room, 0)
  const { id: since } = await app.rooms.history(room)
  const read = async (query: string) => {
    const client = await connect(t, url, `/rooms?room=${room}${query}`)
    await client.frame({ type: 'subscribed' })
    const { id } = await app.rooms.publish(room, 'end')
    await client.frame({ type: 'message', id })
    client.websocket.terminate()
    const { recovered, replayed } = await client.frame({ type: 'subscribed' })
    return [recovered, replayed, ...client.frames.slice(2).map(({ type, reason, data }) => type === 'gap' ? reason : data)]
  }
  for (let n = 1; n <= 4; n++) await app.rooms.publish(room, n)
  t.same(await read(`&since=${since}`), [true, 4, 1, 2, 3, 4, 'end'])
  t.same(await read(`&since=${since}`), [true, 5, 1, 2, 3, 4, 'end', 'end'])
  t.same(await read(`&since=${since}`), [false, 5, 'overflow', 2, 3, 4, 'end', 'end', 'end'])
  t.same(await read('&since=earliest'), [undefined, 5, 3, 4, 'end', 'end', 'end', 'end'], 'never begins with a gap')
})

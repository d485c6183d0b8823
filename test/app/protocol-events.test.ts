import { test } from 'tap'
import { Connections } from '../../lib/transports/transport.js'
import { Barrier, ownBroker } from './broker.js'
import { connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'

const text = async (response: Response): Promise<string> => await response.text()

test('a stream begins at once, with retry and the position', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  const { id, data } = await stream.event({ event: 'subscribed' })
  t.match(JSON.parse(data), { room, id, replayed: 0, recovered: undefined })
  const retry = Number(/^retry: (\d+)\n\n/.exec(stream.text)?.[1])
  t.ok(retry >= 2_000 && retry <= 5_000)
  const retries = new Set()
  for (let i = 0; i < 5; i++) {
    const other = await openStream(t, `${url}/rooms/${room}/events`)
    await other.event({ event: 'subscribed' })
    retries.add(other.text.split('\n')[0])
  }
  t.ok(retries.size > 1, 'not the same for all')
  const first = await app.rooms.publish(room, { a: 'line\nbreak\n\nid: 1-1', b: '\u2028' })
  t.strictSame(await stream.event({ event: 'message' }), { event: 'message', id: first.id, data: JSON.stringify({ a: 'line\nbreak\n\nid: 1-1', b: '\u2028' }) })
})

test('headers', async (t) => {
  const { url } = await startApp(t, {}, {}, (app) => {
    app.addHook('onRequest', async (_request, reply) => { reply.header('access-control-allow-origin', 'https://a.example').header('set-cookie', ['a=1', 'b=2']) })
    app.addHook('onSend', async (_request, reply, payload) => { reply.header('x-on-send', '1'); return payload })
  })
  const { response } = await openStream(t, `${url}/rooms/${newRoom()}/events`)
  const { headers } = response
  t.equal(headers.get('content-type'), 'text/event-stream')
  t.equal(headers.get('cache-control'), 'no-cache, no-transform')
  t.equal(headers.get('x-accel-buffering'), 'no')
  t.equal(headers.get('access-control-allow-origin'), 'https://a.example')
  t.strictSame(headers.getSetCookie(), ['a=1', 'b=2'])
  t.equal(headers.get('connection'), null)
  t.equal(headers.get('content-length'), null)
})

test('resuming: Last-Event-ID beats ?since=', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const ids: string[] = []
  for (let i = 1; i <= 4; i++) ids.push((await app.rooms.publish(room, i)).id)
  const stream = await openStream(t, `${url}/rooms/${room}/events?since=${ids[0]}`, { 'last-event-id': ids[2]! })
  t.match(JSON.parse((await stream.event({ event: 'subscribed' })).data), { id: ids[2], recovered: true, replayed: 1 })
  await stream.event({ id: ids[3]!, data: '4' })
  t.equal(stream.events.length, 2)
  const since = await openStream(t, `${url}/rooms/${room}/events?since=${ids[0]}`)
  await since.event({ id: ids[3]! })
  t.strictSame(since.events.slice(1).map(({ data }) => data), ['2', '3', '4'])
  const earliest = await openStream(t, `${url}/rooms/${room}/events?since=earliest`)
  await earliest.event({ id: ids[3]! })
  t.strictSame(earliest.events.slice(1).map(({ data }) => data), ['1', '2', '3', '4'])
  // The position of the first event resumes as well, where nothing was published yet.
  const quiet = newRoom()
  const first = await openStream(t, `${url}/rooms/${quiet}/events`)
  const { id } = await first.event({ event: 'subscribed' })
  first.close()
  await app.rooms.publish(quiet, 'missed')
  const second = await openStream(t, `${url}/rooms/${quiet}/events`, { 'last-event-id': id! })
  await second.event({ data: '"missed"' })
})

test('a gap is an event of that name, with the id to go on from', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const { id } = await app.rooms.publish(room, 1)
  const stream = await openStream(t, `${url}/rooms/${room}/events`, { 'last-event-id': '1-1' })
  const gap = await stream.event({ event: 'gap' })
  t.strictSame(JSON.parse(gap.data), { room, id: gap.id, reason: 'epoch' })
  await stream.event({ event: 'message', id })
  t.strictSame(stream.events.map(({ event }) => event), ['subscribed', 'gap', 'message'])
})

test('malformed cursors are 400, in the query and in Last-Event-ID', async (t) => {
  const { url } = await startApp(t)
  for (const cursor of ['x', '1', '-1-1', '1-18446744073709551616', 'NaN']) {
    for (const response of [await fetch(`${url}/rooms/a/events?since=${cursor}`), await fetch(`${url}/rooms/a/events`, { headers: { 'last-event-id': cursor } })]) {
      t.equal(response.status, 400)
      t.match(await response.json(), { code: 'FAN_OUT_ERR_INVALID_CURSOR', statusCode: 400, error: 'Bad Request' })
    }
  }
  t.equal((await fetch(`${url}/rooms/${'x'.repeat(99)}%0A/events`)).status, 400)
  t.equal((await fetch(`${url}/rooms/a/events?since=1-1&since=1-2`)).status, 400)
})

test('refused for now: who comes back gets 200, retry and the end; others the status', async (t) => {
  const { app, url } = await startApp(t, { limits: { connections: 1 }, authorize: ({ room, request }) => room !== 'denied' && request.headers['x-denied'] === undefined })
  const open = await connect(t, url)
  await open.frame({ type: 'welcome' })
  const address = `${url}/rooms/a/events`
  const full = await fetch(address)
  t.equal(full.status, 503)
  t.match(full.headers.get('retry-after'), /^\d+$/)
  t.match(await full.json(), { code: 'FAN_OUT_ERR_SERVER_FULL' })
  const later = await fetch(address, { headers: { 'last-event-id': '1-1' } })
  t.equal(later.status, 200)
  t.equal(later.headers.get('content-type'), 'text/event-stream')
  t.match(await text(later), /^retry: [2-5]\d{3}\n\n$/)
  t.equal((await fetch(address, { headers: { 'last-event-id': '1-1', 'x-denied': '1' } })).status, 401, 'refused for good')
  t.equal((await fetch(address, { headers: { 'last-event-id': '1-1', 'x-denied': '1', ...withKey } })).status, 403)
  open.websocket.close()
  await until(() => app.rooms.stats().connections.websocket === 0)
  await app.rooms.drain()
  const draining = await fetch(address)
  t.equal(draining.status, 503)
  t.match(draining.headers.get('retry-after'), /^\d+$/)
  t.match(await text(await fetch(address, { headers: { 'last-event-id': '1-1' } })), /^retry: [2-5]\d{3}\n\n$/)
})

test('a comment keeps a quiet stream open', async (t) => {
  const originals = { setInterval: globalThis.setInterval, now: performance.now }
  // The connections' clock, ahead by as much as the test says.
  let ahead = 0
  let tick: (() => void) | undefined
  globalThis.setInterval = ((task: () => void) => {
    tick ??= task
    return originals.setInterval(() => {}, 1_000_000)
  }) as typeof setInterval
  const { app, url } = await startApp(t).finally(() => { globalThis.setInterval = originals.setInterval })
  t.ok(tick, `the clock of ${Connections.name}`)
  performance.now = () => originals.now.call(performance) + ahead
  t.teardown(() => { performance.now = originals.now })
  const room = newRoom()
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  await stream.event({ event: 'subscribed' })
  tick?.()
  ahead = 14_000
  tick?.()
  await app.rooms.publish(room, 1)
  await stream.event({ data: '1' })
  t.notMatch(stream.text, /^:/m)
  ahead = 15_500
  tick?.()
  await until(() => /\n\n:\n\n$/.test(stream.text))
  ahead = 29_000
  tick?.()
  ahead = 31_000
  tick?.()
  await until(() => stream.text.endsWith('\n\n:\n\n:\n\n'))
})

test('HEAD leaves nothing behind', async (t) => {
  const { app, url } = await startApp(t)
  const response = await fetch(`${url}/rooms/a/events`, { method: 'HEAD', signal: AbortSignal.timeout(2_000) })
  t.ok([200, 404, 405].includes(response.status), String(response.status))
  await until(() => app.rooms.stats().connections.events === 0)
})

test('a client that goes is let go', async (t) => {
  const { app, url } = await startApp(t, { presence: true })
  const room = newRoom()
  const streams = await Promise.all(Array.from({ length: 5 }, () => openStream(t, `${url}/rooms/${room}/events`)))
  await until(() => app.rooms.stats().subscriptions === 5)
  t.equal((await app.rooms.presence(room)).length, 5)
  for (const stream of streams) stream.close()
  await until(() => app.rooms.stats().subscriptions === 0 && app.rooms.stats().connections.events === 0)
  t.strictSame(await app.rooms.presence(room), [])
})

test('unsubscribe and disconnect reach a stream', async (t) => {
  const { app, url } = await startApp(t, { authenticate: (_request, token) => ({ user: token! }) })
  const room = newRoom()
  const [out, gone] = [await openStream(t, `${url}/rooms/${room}/events`, { authorization: 'Bearer out' }), await openStream(t, `${url}/rooms/${room}/events`, { authorization: 'Bearer gone' })]
  await out.event({ event: 'subscribed' })
  const { id } = await gone.event({ event: 'subscribed' })
  await app.rooms.unsubscribe('another', { user: 'out' })
  await app.rooms.unsubscribe(room, { user: 'out' }, 'why\nnot')
  const last = await out.event({ event: 'unsubscribed' })
  t.strictSame(JSON.parse(last.data), { room, code: 'FAN_OUT_ERR_UNSUBSCRIBED', reason: 'why\nnot' })
  t.equal(last.id, undefined, 'the last id stays')
  await until(() => out.ended)
  await app.rooms.disconnect({ user: 'gone' })
  await until(() => gone.ended)
  t.ok(id)
  t.equal(app.rooms.stats().subscriptions, 0)
})

test('a stream that is ended before the broker has answered says why', async (t) => {
  const ends = {
    403: async (app: Awaited<ReturnType<typeof startApp>>['app'], room: string) => await app.rooms.unsubscribe(room, { user: 'u' }, 'out'),
    503: async (app: Awaited<ReturnType<typeof startApp>>['app']) => { app.rooms.drain().catch(() => {}) }
  }
  for (const [status, end] of Object.entries(ends)) {
    const barrier = new Barrier()
    const { app, url } = await startApp(t, {
      authenticate: () => ({ user: 'u' }),
      broker: ownBroker((inner) => ({
        async subscribe (room) {
          if (room.startsWith('room:')) await barrier.pass()
          return await inner.subscribe(room)
        }
      }))
    })
    const [room, marker] = [newRoom(), 'marker']
    const witness = await connect(t, url, `/rooms?room=${marker}`)
    await witness.frame({ type: 'subscribed' })
    const answer = fetch(`${url}/rooms/${room}/events`)
    await until(() => barrier.waiting === 1)
    await end(app, room)
    // Commands are obeyed in order.
    if (status === '403') await app.rooms.unsubscribe(marker, { user: 'u' })
    if (status === '403') await witness.frame({ type: 'unsubscribed', room: marker })
    else t.match(await witness.close(), { code: 1001 })
    barrier.open()
    const response = await answer
    t.equal(response.status, Number(status))
    t.match(await response.json(), { code: status === '403' ? 'FAN_OUT_ERR_UNSUBSCRIBED' : 'FAN_OUT_ERR_CLOSING' })
    await until(() => app.rooms.stats().connections.events === 0)
    t.equal(app.rooms.stats().subscriptions, 0)
  }
})

import type { Test } from 'tap'
import type { ConnectOptions } from '../../client/index.js'
import { test } from 'tap'
import WebSocket from 'ws'
import { Proxy } from '../faults/proxy.js'
import { newRoom, startApp, until } from '../helpers.js'
import { joined, open, record, startScripted, TRANSPORTS, welcome } from './helpers.js'

const portOf = (url: string): number => Number(new URL(url).port)

/** A server behind a network that can be cut. */
async function behindProxy (t: Test, ...options: Parameters<typeof startApp> extends [unknown, ...infer Rest] ? Rest : never): Promise<{ app: Awaited<ReturnType<typeof startApp>>['app'], proxy: Proxy, url: string }> {
  const { app, url } = await startApp(t, ...options)
  const proxy = await Proxy.start(t, portOf(url))
  return { app, proxy, url: `http://127.0.0.1:${proxy.port}` }
}

for (const transport of TRANSPORTS) {
  test(`over ${transport}, what was missed while the connection was away comes after it, and a gap where it is no more`, async (t) => {
    const { app, proxy, url } = await behindProxy(t, { history: { size: 10 } })
    const name = newRoom()
    const client = open(t, url, { transport })
    const room = client.join(name)
    const told = record(room)
    await joined(room)
    await app.rooms.publish(name, 1)
    await until(() => told.data.length === 1)
    proxy.refuse(true)
    await until(() => client.state === 'waiting')
    t.equal(room.state, 'joining')
    t.equal(client.transport, undefined)
    t.match(client.states.at(-1), { state: 'waiting', error: { code: 'FAN_OUT_ERR_CONNECTION' } })
    for (const n of [2, 3]) await app.rooms.publish(name, n)
    proxy.refuse(false)
    await until(() => told.data.length === 3)
    t.strictSame(told.events.map(({ data }) => data), [1, 2, 3])
    t.strictSame(told.states.map(({ state, recovered }) => [state, recovered]), [['joined', undefined], ['joining', undefined], ['joined', true]])
    proxy.refuse(true)
    await until(() => client.state === 'waiting')
    for (let n = 4; n <= 20; n++) await app.rooms.publish(name, n)
    proxy.refuse(false)
    await until(() => told.data.length === 13)
    t.equal(told.events[3]?.type, 'gap')
    t.strictSame(told.events.slice(4).map(({ data }) => data), [11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
    t.equal(told.states.at(-1)?.recovered, false)
  })

  test(`over ${transport}, a publish whose answer is lost is published once`, async (t) => {
    const { app, proxy, url } = await behindProxy(t, { authorize: () => true, clientPublish: true })
    const name = newRoom()
    const client = open(t, url, { transport })
    const early = client.publish(name, 'before there is a connection')
    await early
    const lost = proxy.loseReply(/-2"/)
    const unanswered = client.publish(name, { n: 1 })
    await lost
    t.strictSame(await unanswered, { id: (await app.rooms.history(name)).messages[1]?.id, duplicate: true })
    await until(() => client.state === 'waiting' || client.state === 'open')
    const data = { n: 2 }
    proxy.refuse(true)
    const waiting = client.publish(name, data)
    data.n = 3
    const given = client.publish(name, 'given up', { signal: AbortSignal.timeout(20) })
    await t.rejects(given, { name: 'TimeoutError' })
    proxy.refuse(false)
    await waiting
    // What was given up may have been under way: whether it was published is not known.
    const all = (await app.rooms.history(name)).messages.map(({ data }) => data)
    t.ok(all.filter((data) => data === 'given up').length <= 1)
    t.strictSame(all.filter((data) => data !== 'given up'), ['before there is a connection', { n: 1 }, { n: 2 }])
  })

  test(`over ${transport}, a server's refusal of a publish is its rejection, and all else goes on`, async (t) => {
    const { url } = await startApp(t, { authorize: ({ action, room }) => action === 'subscribe' || room !== 'forbidden', clientPublish: true, limits: { frame: 1_000, body: 1_000 } })
    const client = open(t, url, { transport })
    const room = client.join(newRoom())
    await joined(room)
    await t.rejects(client.publish('forbidden', 1), { name: 'FanOutError', code: /UNAUTHORIZED|FORBIDDEN/ })
    await t.rejects(client.publish('', 1), { name: 'FanOutError' })
    t.equal(room.state, 'joined')
    t.equal(client.states.length, 1, 'the connection is the same')
    // A WebSocket is closed for it, and does not say for which frame.
    t.match(await room.publish('x'.repeat(2_000)).catch((error: unknown) => error), transport === 'events' ? { code: 'FAN_OUT_ERR_TOO_LARGE' } : { status: 1009 })
    await room.publish('x'.repeat(500))
    await joined(room)
  })

  test(`over ${transport}, a room that is refused, or taken away, is left; the others live on`, async (t) => {
    const { app, url } = await startApp(t, { authenticate: async (_, token) => token === 'me' ? { user: 'me' } : null, authorize: ({ room }) => room !== 'forbidden' })
    const client = open(t, url, { transport, token: 'me' })
    const good = client.join('good')
    const forbidden = client.join('forbidden')
    const wrong = client.join('wrong\n')
    const { states } = record(forbidden)
    await until(() => wrong.state === 'left' && forbidden.state === 'left')
    t.match(forbidden.error, { name: 'FanOutError', code: 'FAN_OUT_ERR_FORBIDDEN' })
    t.match(states, [{ state: 'left', error: { code: 'FAN_OUT_ERR_FORBIDDEN' } }])
    t.match(wrong.error, { code: 'FAN_OUT_ERR_INVALID_ROOM' })
    await joined(good)
    const other = client.join('other')
    await joined(other)
    const iterated = (async () => { for await (const event of other) t.fail(event.type) })()
    await app.rooms.unsubscribe('other', { user: 'me' }, 'enough')
    await t.rejects(iterated, { code: 'FAN_OUT_ERR_UNSUBSCRIBED', message: /enough/ })
    t.match(other.error, { code: 'FAN_OUT_ERR_UNSUBSCRIBED' })
    t.equal(good.state, 'joined')
    t.equal(client.states.length, 1)
    t.equal(client.join('other').state, 'joining', 'it may be tried again')
  })

  test(`over ${transport}, a token is asked for afresh for each connection`, async (t) => {
    let good = 'one'
    const { proxy, url } = await behindProxy(t, {
      authenticate: async (_, token) => {
        if (token !== good) throw new Error('no')
        return { user: 'me' }
      },
      authorize: () => true
    })
    const tokens = ['bad', 'one', 'two']
    let asked = 0
    const client = open(t, url, { transport, token: async () => tokens[asked++] })
    const room = client.join(newRoom())
    await joined(room)
    t.equal(asked, 2, 'the first was refused')
    t.match(client.states.filter(({ state }) => state === 'waiting'), [{ retryIn: 0, error: { status: 4401 } }])
    t.match(await room.history(), { complete: true }, 'HTTP takes it too')
    good = 'two'
    proxy.cut()
    await until(() => asked === 3 && room.state === 'joined')
  })

  test(`over ${transport}, a token that is refused, and does not change, closes the client`, async (t) => {
    const { url } = await startApp(t, { authenticate: async (_, token) => { throw new Error(`not ${token}`) } })
    const client = open(t, url, { transport, token: 'bad' })
    const room = client.join(newRoom())
    await until(() => client.state === 'closed')
    t.match(client.states.at(-1), { state: 'closed', error: { name: 'FanOutError', status: 4401 } })
    t.match(room, { state: 'left', error: { status: 4401 } })
  })

  test(`over ${transport}, a function that gives no token is tried again, and no token is none`, async (t) => {
    const { url } = await startApp(t, { authenticate: async (_, token) => { if (token === undefined) return null; throw new Error('no') } })
    let calls = 0
    const client = open(t, url, {
      transport,
      token: () => {
        if (calls++ === 0) throw new Error('offline')
        return null
      }
    })
    await joined(client.join(newRoom()))
    t.match(client.states[0], { state: 'waiting', error: { message: /offline/ } })
    t.equal(calls, 2)
  })

  test(`over ${transport}, a reload resumes from what is stored`, async (t) => {
    const { app, url } = await startApp(t)
    const name = newRoom()
    const kept = new Map<string, string>()
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => { kept.set(key, value) } }
    const before = open(t, url, { transport, storage })
    const room = before.join(name)
    await joined(room)
    const { id } = await app.rooms.publish(name, 1)
    await until(() => room.id === id)
    before.close()
    await app.rooms.publish(name, 2)
    const after = open(t, url, { transport, storage })
    const told = record(after.join(name))
    await until(() => told.data.length > 0)
    t.strictSame(told.data, [2])
    t.match(told.states, [{ state: 'joined', recovered: true }])
    const full = open(t, url, { transport, storage: { getItem: () => null, setItem: () => { throw new Error('it is full') } } })
    await joined(full.join(name))
    const earliest = record(open(t, url, { transport, storage }).join(name, { since: 'earliest' }))
    await until(() => earliest.data.length === 2, '`since` beats what is stored')
  })

  test(`over ${transport}, too much to be replayed is read over HTTP where it is asked for, else it is a gap`, async (t) => {
    const { app, url } = await startApp(t, { limits: { replay: 5 }, history: { size: 2_500 } })
    const name = newRoom()
    const { id } = await app.rooms.publish(name, 0)
    for (let n = 1; n <= 2_200; n += 100) await app.rooms.publishMany(Array.from({ length: 100 }, (_, i) => ({ room: name, data: n + i })))
    const all = Array.from({ length: 2_200 }, (_, i) => i + 1)

    const gap = record(open(t, url, { transport }).join(name, { since: id }))
    await until(() => gap.data.length === 5)
    t.match(gap.events[0], { type: 'gap', reason: 'overflow' })

    const room = open(t, url, { transport }).join(name, { since: id, history: true })
    const filled = record(room)
    await joined(room)
    // Live meanwhile, in its place afterwards.
    await app.rooms.publish(name, 2_201)
    await until(() => filled.events.length >= 2_201)
    t.strictSame(filled.events.map(({ type }) => type).filter((type) => type !== 'message'), [])
    t.strictSame(filled.data, [...all, 2_201])

    const refused = open(t, url, { transport, fetch: async (url, init) => String(url).includes('/history') ? Response.json({}, { status: 503 }) : await fetch(url, init) })
    const unread = record(refused.join(name, { since: id, history: true }))
    await until(() => unread.data.length === 5)
    t.strictSame(unread.events.map(({ type, reason }) => reason ?? type), ['overflow', 'message', 'message', 'message', 'message', 'message'])
  })
}

test('what the window has lost before it could be read is a gap', async (t) => {
  const { app, url } = await startApp(t, { limits: { replay: 5 }, history: { size: 20 } })
  const name = newRoom()
  const { id } = await app.rooms.publish(name, 0)
  for (let n = 1; n <= 20; n++) await app.rooms.publish(name, n)
  // The window moves on between the gap and the reading.
  const client = open(t, url, {
    fetch: async (url, init) => {
      for (let n = 21; n <= 40; n++) await app.rooms.publish(name, n)
      return await fetch(url, init)
    }
  })
  const told = record(client.join(name, { since: id, history: true }))
  await until(() => told.data.at(-1) === 40)
  t.strictSame(told.events.map(({ type }) => type).indexOf('gap'), 0)
  t.strictSame(told.data, Array.from({ length: 25 }, (_, i) => i + 16))
})

test('presence is told as it happens', async (t) => {
  const { url } = await startApp(t, { authorize: () => true, presence: true })
  const name = newRoom()
  const room = open(t, url).join(name, { presence: true })
  const { events } = record(room)
  await joined(room)
  const other = open(t, url).join(name)
  await until(() => events.length === 1)
  other.leave()
  await until(() => events.length === 2)
  t.match(events, [{ type: 'join', room: name, member: { connection: String } }, { type: 'leave', room: name }])
})

test('a snapshot comes first, and after a gap', async (t) => {
  const { app, url } = await startApp(t, { snapshot: (room) => ({ of: room }), history: { size: 3 } })
  const name = newRoom()
  const { id } = await app.rooms.publish(name, 0)
  for (let n = 1; n <= 5; n++) await app.rooms.publish(name, n)
  for (const transport of TRANSPORTS) {
    const client = open(t, url, { transport })
    const fresh = record(client.join(name))
    await until(() => fresh.events.length === 1)
    t.match(fresh.events, [{ type: 'snapshot', room: name, id: String, data: { of: name } }])
    client.close()
    const late = record(open(t, url, { transport }).join(name, { since: id }))
    await until(() => late.events.length >= 2)
    t.strictSame(late.events.slice(0, 2).map(({ type }) => type), ['gap', 'snapshot'])
  }
})

test('a token is renewed in place, before it expires', async (t) => {
  const { app, url } = await startApp(t, { authenticate: async (_, token) => ({ user: 'me', expiresAt: Number(token) }) })
  let asked = 0
  const client = open(t, url, { token: () => String(Date.now() + (asked++ === 0 ? 2_500 : 60_000)) })
  const room = client.join(newRoom())
  const told = record(room)
  await joined(room)
  await until(() => asked === 2)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  await app.rooms.publish(room.name, 1)
  await until(() => told.data.length === 1)
  t.strictSame(client.states.map(({ state }) => state), ['open'])
  t.strictSame(told.states.length, 1)
})

test('whom the app sends away stays away', async (t) => {
  const { app, url } = await startApp(t, { authenticate: async () => ({ user: 'me' }) })
  const client = open(t, url)
  const room = client.join(newRoom())
  const pending = client.publish(newRoom(), 1).catch((error: unknown) => error)
  await joined(room)
  await app.rooms.disconnect({ user: 'me' }, 'go')
  await until(() => client.state === 'closed')
  t.match(client.states.at(-1), { state: 'closed', error: { status: 4403, message: /go/ } })
  t.match(room.error, { status: 4403 })
  t.match(await pending, { code: /FAN_OUT_ERR/ })
})

test('a server that leaves is left at once for another', async (t) => {
  const [one, two] = [await startApp(t), await startApp(t)]
  const proxy = await Proxy.start(t, portOf(one.url))
  const client = open(t, `http://127.0.0.1:${proxy.port}`)
  const room = client.join(newRoom())
  await joined(room)
  client.addEventListener('state', ({ state }) => { if (state === 'waiting') proxy.point(portOf(two.url)) }, { once: true })
  await one.app.close()
  await until(() => client.state === 'open' && room.state === 'joined')
  t.match(client.states.slice(1, 3), [{ state: 'waiting', retryIn: 0, error: { status: 1001 } }, { state: 'connecting' }])
})

test('a server that has no room is given the time it asks for', async (t) => {
  const full = await startScripted(t, { open: (peer, n) => n === 0 ? peer.close(1013) : peer.send(welcome) })
  const client = open(t, full.url)
  await until(() => client.state === 'open')
  t.ok(client.states[0]!.retryIn! >= 1_000, `${client.states[0]!.retryIn} ms`)

  const away = await startScripted(t, {
    http: (_, response, n) => n === 0
      ? response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/json' }).end('{"code":"FAN_OUT_ERR_SERVER_FULL","message":"full"}')
      : response.writeHead(200, { 'content-type': 'text/event-stream' }).write('event: subscribed\nid: 1-0\ndata: {"room":"r","id":"1-0","replayed":0}\n\n')
  })
  const streaming = open(t, away.url, { transport: 'events' })
  await joined(streaming.join('r'))
  t.match(streaming.states[0], { state: 'waiting', error: { message: 'full' } })
  t.ok(streaming.states[0]!.retryIn! >= 1_000)
  const [first, second] = away.requests
  t.ok(second!.at - first!.at >= 990, `${second!.at - first!.at} ms`)
})

test('a network that says nothing is noticed within the heartbeat, and an answer is enough', async (t) => {
  const { proxy, url } = await behindProxy(t)
  const client = open(t, url, { heartbeat: 400 })
  const room = client.join(newRoom())
  await joined(room)
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  t.strictSame(client.states.map(({ state }) => state), ['open'], 'a quiet room is not a dead one')
  proxy.stall()
  await until(() => client.state === 'waiting', 'the silence to be noticed', 5_000)
  t.match(client.states.at(-1), { error: { message: 'silent', status: 1006 } })
  proxy.flow()
  await joined(room)
})

test('a connection that is never welcomed is given up', async (t) => {
  const server = await startScripted(t, {
    open: (peer, n) => { if (n > 0) peer.send(welcome) },
    frame: (peer, { type, ref }, n) => { if (n > 0 && type === 'subscribe') peer.send({ type: 'subscribed', room: 'r', id: '1-0', replayed: 0, ref }) }
  })
  const client = open(t, server.url, { heartbeat: 300 })
  await joined(client.join('r'))
  t.match(client.states, [{ state: 'waiting', error: { message: 'silent' } }, { state: 'connecting' }, { state: 'open' }])
})

test('where WebSockets are blocked there are event streams, with the same cursors', async (t) => {
  const { app, proxy, url } = await behindProxy(t, { authorize: () => true })
  const name = newRoom()
  let blocked = false
  class Blocked extends WebSocket {
    constructor (url: string, protocols: string[]) {
      super(blocked ? url.replace('/rooms', '/nowhere') : url, protocols)
    }
  }
  const client = open(t, url, { WebSocket: Blocked as never })
  const room = client.join(name)
  const told = record(room)
  await joined(room)
  await app.rooms.publish(name, 1)
  await until(() => told.data.length === 1)
  t.equal(client.transport, 'websocket')
  blocked = true
  proxy.cut()
  await until(() => client.state !== 'open')
  await app.rooms.publish(name, 2)
  await until(() => told.data.length === 2)
  t.equal(client.transport, 'events')
  await app.rooms.publish(name, 3)
  await until(() => told.data.length === 3)
  t.strictSame(told.events.map(({ data }) => data), [1, 2, 3])
  await client.publish(name, 4)
  const streaming = record(open(t, url, { WebSocket: undefined as never }).join(name, { since: 'earliest' }))
  await until(() => streaming.data.length === 4, 'none in the platform is the same')
})

test('more rooms than a server takes frames at once', async (t) => {
  const { app, url } = await startApp(t, { limits: { roomsPerConnection: 450, framesPerSecond: 100 }, authorize: () => true, clientPublish: true })
  const client = open(t, url)
  const rooms = Array.from({ length: 451 }, () => client.join(newRoom()))
  for (const room of rooms.splice(0, 51)) room.leave()
  const publishes = rooms.slice(0, 100).map((room) => room.publish(1))
  await until(() => rooms.every(({ state }) => state === 'joined'), 'all to be joined', 20_000)
  await Promise.all(publishes)
  t.strictSame(client.states.map(({ state }) => state), ['open'], 'no frame was one too many')
  t.equal(app.rooms.stats().connections.websocket, 1)
  const more = Array.from({ length: 51 }, () => client.join(newRoom()))
  await until(() => more.every(({ state }) => state !== 'joining'))
  t.match(more.at(-1), { state: 'left', error: { code: 'FAN_OUT_ERR_TOO_MANY_ROOMS' } })
})

/** What is used of a page. */
function pretendPage (t: Test): { page: EventTarget, document: { hidden: boolean } } {
  const page = new EventTarget()
  const document = { hidden: false }
  Object.assign(globalThis, { addEventListener: page.addEventListener.bind(page), document })
  t.teardown(() => {
    delete (globalThis as { addEventListener?: unknown }).addEventListener
    delete (globalThis as { document?: unknown }).document
  })
  return { page, document }
}

test('a page that wakes, or is online again, tries at once', async (t) => {
  const { page, document } = pretendPage(t)
  const options: ConnectOptions = { heartbeat: 4_000 }
  const server = await startScripted(t, { open: (peer, n) => n < 2 ? peer.close(1011) : peer.send(welcome) })
  const client = open(t, server.url, options)
  await until(() => client.state === 'waiting')
  document.hidden = true
  page.dispatchEvent(new Event('visibilitychange'))
  t.equal(client.state, 'waiting', 'a hidden page does not')
  document.hidden = false
  page.dispatchEvent(new Event('visibilitychange'))
  t.equal(client.state, 'connecting')
  await until(() => client.state === 'waiting')
  page.dispatchEvent(new Event('online'))
  t.equal(client.state, 'connecting')
  await until(() => client.state === 'open')
  t.strictSame(server.peers.length, 3)

  await joined(client.join('r'))
  page.dispatchEvent(new Event('offline'))
  // It asks, and is not answered.
  await until(() => server.peers[2]?.frames.some(({ type }) => type === 'ping'))
  await until(() => client.state === 'waiting', 'the silence to be noticed', 3_500)
  client.close()
  page.dispatchEvent(new Event('online'))
  t.equal(client.state, 'closed')
})

test('a page that wakes does not ask a server that wants to be left alone, until it is time', async (t) => {
  const { page } = pretendPage(t)
  const wake = (): void => { for (const type of ['online', 'visibilitychange', 'pageshow']) page.dispatchEvent(new Event(type)) }
  const full = await startScripted(t, { open: (peer, n) => n === 0 ? peer.close(1013) : peer.send(welcome) })
  const away = await startScripted(t, { http: (_, response) => response.writeHead(503, { 'retry-after': '30' }).end() })
  const client = open(t, full.url)
  const streaming = open(t, away.url, { transport: 'events' })
  streaming.join('r')
  const since = await new Promise<number>((resolve) => client.addEventListener('state', () => resolve(Date.now()), { once: true }))
  await until(() => streaming.state === 'waiting')
  t.ok(streaming.states[0]!.retryIn! >= 30_000)
  while (Date.now() - since < 900) {
    wake()
    t.equal(client.state, 'waiting')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await until(() => {
    wake()
    return client.state === 'open'
  })
  t.equal(full.peers.length, 2)
  t.equal(streaming.state, 'waiting')
  t.equal(away.requests.length, 1)
})

test('from event streams, which are the second best, a WebSocket is tried again after a while', async (t) => {
  const UPGRADE = 300_000
  const { setTimeout: later } = globalThis
  globalThis.setTimeout = ((callback: () => void, ms?: number) => later(callback, ms === UPGRADE ? 300 : ms)) as typeof setTimeout
  t.teardown(() => { globalThis.setTimeout = later })
  const { url } = await startApp(t)
  let blocked = true
  class Blocked extends WebSocket {
    constructor (url: string, protocols: string[]) {
      super(blocked ? url.replace('/rooms', '/nowhere') : url, protocols)
    }
  }
  const client = open(t, url, { WebSocket: Blocked as never })
  const room = client.join(newRoom())
  await joined(room)
  t.equal(client.transport, 'events')
  blocked = false
  await until(() => client.transport === 'websocket' && room.state === 'joined')
  t.match(client.states.findLast(({ state }) => state === 'waiting'), { error: { message: 'upgrade', status: 1001 } })
  const streaming = open(t, url, { transport: 'events' })
  await joined(streaming.join(newRoom()))
  await new Promise((resolve) => later(resolve, 500))
  t.strictSame(streaming.states.map(({ state }) => state), ['open'], 'who asked for event streams keeps them')
})

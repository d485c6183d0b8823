import type { Test } from 'tap'
import fc from 'fast-check'
import { test } from 'tap'
import { MemoryBroker } from '../../lib/brokers/memory.js'
import { Client, connect, newRoom, startApp, until } from '../helpers.js'
import { Bystander, holdings } from './bystander.js'
import { badCursors, badRooms, forgedCursors, noStrings, oddRooms, parameters } from './generate.js'

const limits = { framesPerSecond: 1_000_000, frame: 64 * 1024 }
const history = { size: 1_000, maxAge: 300_000, bytes: 4 * 1024 * 1024 }

async function start (t: Test) {
  const broker = new MemoryBroker({ history, idempotencyTtl: 300_000 })
  const { app, url } = await startApp(t, { broker, limits, linger: 0, clientPublish: true, authorize: () => true })
  const settled = holdings(app, broker)
  const bystander = await Bystander.start(t, app, url)
  return { app, url, bystander, settled }
}

/** Frames that are answered by an error, with its code and the ref that comes back. */
const errors = fc.oneof(
  refused('FAN_OUT_ERR_INVALID_ROOM', badRooms.map((room) => ({ type: 'subscribe', room }))),
  refused('FAN_OUT_ERR_INVALID_ROOM', badRooms.map((room) => ({ type: 'unsubscribe', room }))),
  refused('FAN_OUT_ERR_INVALID_ROOM', badRooms.map((room) => ({ type: 'publish', room, data: 1 }))),
  refused('FAN_OUT_ERR_INVALID_CURSOR', fc.tuple(oddRooms, badCursors).map(([room, since]) => ({ type: 'subscribe', room, since }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.tuple(fc.constantFrom('subscribe', 'unsubscribe', 'publish'), noStrings).map(([type, room]) => ({ type, room, data: 1 }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.tuple(oddRooms, noStrings.filter((value) => value !== null)).map(([room, since]) => ({ type: 'subscribe', room, since }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.tuple(oddRooms, fc.constantFrom<unknown>(-1, 1.5, '1', null, {}, [])).map(([room, replay]) => ({ type: 'subscribe', room, replay }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.tuple(oddRooms, fc.constantFrom<unknown>(1, 'true', null, {})).map(([room, presence]) => ({ type: 'subscribe', room, presence }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.tuple(oddRooms, noStrings).map(([room, idempotencyKey]) => ({ type: 'publish', room, data: 1, idempotencyKey }))),
  refused('FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY', fc.tuple(oddRooms, fc.constantFrom('', 'k'.repeat(129), 'ü'.repeat(65))).map(([room, idempotencyKey]) => ({ type: 'publish', room, data: 1, idempotencyKey }))),
  refused('FAN_OUT_ERR_NO_PRESENCE', oddRooms.map((room) => ({ type: 'subscribe', room, presence: true }))),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.constantFrom<object>({ type: 'subscribe' }, { type: 'unsubscribe' }, { type: 'publish', data: 1 }, { type: 'publish', room: 'a' }, { type: 'auth' }, { type: 'auth', token: '' }, { type: 'auth', token: 1 })),
  refused('FAN_OUT_ERR_INVALID_FRAME', fc.oneof(fc.constantFrom('', '__proto__', 'constructor', 'toString', 'Subscribe', 'message', 'welcome'), fc.string()).filter((type) => !['subscribe', 'unsubscribe', 'publish', 'auth', 'ping'].includes(type)).map((type) => ({ type, room: 'a' }))),
  fc.tuple(fc.constantFrom('ping', 'subscribe', 'publish'), fc.constantFrom<unknown>('x'.repeat(65), 'ü'.repeat(33), 'ü'.repeat(65), {}, [], null, true, ['a']))
    .map(([type, ref]) => ({ text: JSON.stringify({ type, room: 'a', data: 1, ref }), code: 'FAN_OUT_ERR_INVALID_FRAME', ref: undefined }))
)

function refused (code: string, frames: fc.Arbitrary<object>): fc.Arbitrary<{ text: string, code: string, ref: unknown }> {
  const refs = fc.oneof(fc.constantFrom<unknown>(0, -1, 1.5, '', 'x'.repeat(64), 'ü'.repeat(32), '__proto__'), fc.integer())
  return fc.tuple(frames, refs).map(([frame, ref]) => ({ text: JSON.stringify({ ...frame, ref }), code, ref }))
}

test('frames that cannot be obeyed are answered, and the connection lives on', async (t) => {
  const { url, bystander, settled } = await start(t)
  const client = await connect(t, url)
  let count = 0
  await fc.assert(fc.asyncProperty(fc.array(errors, { minLength: 1, maxLength: 20 }), async (frames) => {
    const skip = client.frames.length
    for (const { text } of frames) client.send(text)
    client.send({ type: 'ping', ref: `p${++count}` })
    await client.frame({ type: 'pong', ref: `p${count}` })
    // Those that were for a room may be answered behind the pong, in the order of each room.
    await until(() => client.frames.length >= skip + frames.length + 1, `answers to ${JSON.stringify(frames)}: ${JSON.stringify(client.frames.slice(skip))}`)
    const answers = client.frames.slice(skip).filter(({ type }) => type !== 'pong').map(({ type, code, ref }) => JSON.stringify([type, code, ref])).sort()
    const expected = frames.map(({ code, ref }) => JSON.stringify(['error', code, ref])).sort()
    if (JSON.stringify(answers) !== JSON.stringify(expected)) throw new Error(`got ${answers}\ninstead of ${expected}`)
    if (client.frames.slice(skip).some((frame) => frame.type === 'error' && typeof frame['message'] !== 'string')) throw new Error('an error without a message')
    count += frames.length
  }), { ...parameters(t, 120), endOnFailure: false })
  t.equal(client.closed, undefined)
  t.comment(`${count} frames`)
  client.websocket.close()
  await client.close()
  await bystander.prove(t)
  await bystander.end()
  await settled(t, { published: 1 })
})

const nested = (depth: number, open: string, close: string): string => open.repeat(depth) + close.repeat(depth)
const noFrames = fc.oneof(
  fc.string().filter((text) => !isFrame(text)),
  fc.json().filter((text) => !isFrame(text)),
  fc.constantFrom(
    '', ' ', 'null', '1', '"subscribe"', '[]', '[{"type":"ping"}]', '{}', '{"type":1}', '{"type":null}', '{"type":["ping"]}', '{"Type":"ping"}', '{"type":"ping"', '{"type":"ping"}}',
    '{"type":"ping"}{"type":"ping"}', '\uFEFF{"type":"ping"}', "{'type':'ping'}", '{"type":"ping",}', '{"type":"ping","a":NaN}', '{"__proto__":{"type":"ping"}}', '{"type":"pi\nng"}', '{"type":undefined}',
    nested(30_000, '[', ']'), nested(30_000, '[', ''), `{"a":${nested(20_000, '[', ']')}}`, nested(10_000, '{"a":', '').concat('1', '}'.repeat(10_000)), 'x'.repeat(65_536)
  ),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)) // binary
)

function isFrame (text: string): boolean {
  try {
    return typeof JSON.parse(text)?.type === 'string'
  } catch {
    return false
  }
}

test('what is no frame closes the connection with 1008', async (t) => {
  const { app, url, bystander } = await start(t)
  await fc.assert(fc.asyncProperty(noFrames, async (text) => {
    const client = await connect(t, url)
    client.websocket.send(text)
    client.send({ type: 'subscribe', room: 'never' })
    const { code, reason } = await client.close()
    if (code !== 1008 || reason === '') throw new Error(`closed with ${code}, ${reason}`)
    if (client.frames.some(({ type }) => type !== 'welcome')) throw new Error(`answered ${JSON.stringify(client.frames)}`)
  }), parameters(t, 300))
  const client = await connect(t, url)
  client.websocket.send('x'.repeat(65_537))
  t.equal((await client.close()).code, 1009)
  await bystander.prove(t)
  await until(() => app.rooms.stats().connections.websocket === 1)
  t.equal(app.rooms.stats().subscriptions, 2, 'only those of the bystander are left')
})

test('a frame may be as deep and as odd as it likes where that is data', async (t) => {
  const { url } = await start(t)
  const room = newRoom()
  const client = await connect(t, url, `/rooms?room=${room}`)
  await client.frame({ type: 'subscribed' })
  const data = nested(10_000, '[', ']')
  client.send(`{"type":"publish","room":${JSON.stringify(room)},"unknown":${data},"data":${data},"__proto__":1,"ref":1}`)
  await until(() => client.of('published').length === 1 && client.of('message').length === 1)
})

test('rooms with odd names are rooms like any other, apart from each other', async (t) => {
  const { url, bystander, settled } = await start(t)
  const names = new Set<string>()
  fc.assert(fc.property(oddRooms, (room) => { names.add(room) }), parameters(t, 120))
  const client = await connect(t, url)
  const rooms = [...names].slice(0, 100)
  for (const room of rooms) client.send({ type: 'subscribe', room, ref: room.slice(0, 20) })
  for (const [n, room] of rooms.entries()) client.send({ type: 'publish', room, data: n })
  await until(() => client.of('message').length === rooms.length)
  for (const [n, room] of rooms.entries()) {
    const [message, ...more] = client.of('message', room)
    if (more.length > 0 || message?.['data'] !== n || client.of('subscribed', room).length !== 1) t.fail(JSON.stringify(room))
  }
  client.websocket.close()
  await client.close()
  await bystander.prove(t)
  await bystander.end()
  await settled(t, { published: rooms.length + 1 })
})

test('forged cursors, and those of other rooms, are told by one gap', async (t) => {
  const { app, url, bystander } = await start(t)
  const [room, other] = [newRoom(), newRoom()]
  for (let n = 0; n < 10; n++) {
    await app.rooms.publish(room, n)
    await app.rooms.publish(other, n)
  }
  const { id, messages } = await app.rooms.history(room)
  const [epoch, top] = id.split('-').map(Number) as [number, number]
  const foreign = await app.rooms.history(other)
  const above = fc.integer({ min: top + 1, max: Number.MAX_SAFE_INTEGER }).map((offset) => `${epoch}-${offset}`)
  const elsewhere = fc.constantFrom(...foreign.messages.map((message) => message.id))
  const client = await connect(t, url)
  await fc.assert(fc.asyncProperty(fc.oneof(forgedCursors, above, elsewhere), async (since) => {
    const skip = client.frames.length
    client.send({ type: 'subscribe', room, since })
    client.send({ type: 'ping' })
    await until(() => client.frames.slice(skip).some((frame) => frame.type === 'message' ? frame['id'] === id : frame['reason'] === 'forked'))
    client.send({ type: 'unsubscribe', room })
    await until(() => client.frames.slice(skip).some(({ type }) => type === 'unsubscribed'))
    const [subscribed, gap, ...rest] = client.frames.slice(skip).filter(({ type }) => type !== 'pong')
    const isAbove = since.startsWith(`${epoch}-`)
    const replayed = isAbove ? [] : messages.map((message) => message.data)
    const got = [subscribed?.['recovered'], gap?.type, gap?.['reason'], ...rest.slice(0, -1).map(({ data }) => data)]
    const expected = [false, 'gap', isAbove ? 'forked' : 'epoch', ...replayed]
    if (JSON.stringify(got) !== JSON.stringify(expected)) throw new Error(`got ${JSON.stringify(got)} instead of ${JSON.stringify(expected)}`)
  }), parameters(t, 100))
  await bystander.prove(t)
})

test('wrong parameters in the URL are answered as frames are', async (t) => {
  const { url } = await start(t)
  for (const [query, codes] of [
    ['?room=', ['FAN_OUT_ERR_INVALID_ROOM']],
    ['?room=%00&room=a', ['FAN_OUT_ERR_INVALID_ROOM']],
    ['?room=a&since=01-2', ['FAN_OUT_ERR_INVALID_CURSOR']],
    ['?room=a&room=a', ['FAN_OUT_ERR_ALREADY_SUBSCRIBED']],
    [`?${'room=a&'.repeat(1_500)}`, Array(1_499).fill('FAN_OUT_ERR_ALREADY_SUBSCRIBED')],
    [`?${Array.from({ length: 1_000 }, (_, i) => `room=${i}`).join('&')}`, Array(900).fill('FAN_OUT_ERR_TOO_MANY_ROOMS')],
    ['?room=%E0%A4%A', []],
    ['?room[]=a&since[]=b&__proto__=1&constructor=1', []]
  ] as const) {
    const client = new Client(`${url}/rooms${query}`)
    t.teardown(() => client.websocket.terminate())
    await client.frame({ type: 'welcome' })
    client.send({ type: 'ping' })
    await client.frame({ type: 'pong' })
    await until(() => client.of('error').length >= codes.length)
    t.same(client.of('error').map(({ code }) => code), codes, query.slice(0, 60))
  }
})

import type { Test } from 'tap'
import type { Call } from './http.js'
import fc from 'fast-check'
import { Agent } from 'node:http'
import { test } from 'tap'
import { MemoryBroker } from '../../lib/brokers/memory.js'
import { newRoom, startApp, withKey } from '../helpers.js'
import { Bystander, holdings } from './bystander.js'
import { badCursors, badRooms, noStrings, oddRooms, parameters } from './generate.js'
import { call, misshapen } from './http.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const history = { size: 1_000, maxAge: 300_000, bytes: 4 * 1024 * 1024 }

async function start (t: Test) {
  const broker = new MemoryBroker({ history, idempotencyTtl: 300_000 })
  const { app, url } = await startApp(t, { broker, linger: 0, limits: { body: 10_000, batch: 20 } }, { routerOptions: { maxParamLength: 600 } })
  const settled = holdings(app, broker)
  return { app, url, broker, settled, bystander: await Bystander.start(t, app, url) }
}

type Refused = Call & { expect: string }

const anyKey = fc.constantFrom(...['', 'k'.repeat(129), 'k'.repeat(5_000)])
const publish = (room: string, body: string | Buffer, headers: object = JSON_TYPE): Call => ({ method: 'POST', path: `/rooms/${encodeURIComponent(room)}`, headers: { ...withKey, ...headers } as Record<string, string>, body })
const batch = (body: unknown, headers: object = {}): Call => ({ method: 'POST', path: '/rooms', headers: { ...withKey, ...JSON_TYPE, ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) })
const get = (path: string, headers = {}): Call => ({ path, headers })
const expecting = (expect: string) => (request: Call): Refused => ({ ...request, expect })

const notJson = fc.oneof(
  fc.constantFrom('', ' ', '\n', '{', '[1,]', "{'a':1}", 'NaN', 'undefined', '{"a":1}}', '01', '1.', '+1', '"\n"', '"\t"', '"\\x41"', '"', '\uFEFF1', '\uFEFF', 'true false', '[1 2]', '{"a"}', '{"a":}', '{a:1}', '//1', '1//'),
  fc.constantFrom(Buffer.from([0x22, 0xFF, 0x22]), Buffer.from([0x22, 0xC3, 0x22]), Buffer.from([0x22, 0xED, 0xA0, 0x80, 0x22]), Buffer.from([0xEF, 0xBB, 0xBF, 0x31]), Buffer.from('"a"', 'utf16le'), Buffer.from([0])),
  fc.string().filter((text) => !isJson(text)),
  fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => Buffer.from(bytes)).filter((bytes) => !isJson(bytes.toString()))
)

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function isWellFormed (text: string): boolean {
  return Buffer.from(text).toString() === text
}

const encoded = badRooms.filter((room): room is string => typeof room === 'string' && room !== '' && isWellFormed(room) && encodeURIComponent(room).length <= 600).map(encodeURIComponent)
const room = oddRooms.filter((name) => name !== '.' && name !== '..').map(encodeURIComponent)
const mediaTypes = fc.constantFrom('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', 'application/json-patch+json', 'application/octet-stream', 'text/json', 'application/xml', 'x', '*/*', 'application/*', 'json', '', ';', 'application/json, text/plain')
const wrongQueries = fc.oneof(
  fc.constantFrom('limit=0', 'limit=-1', 'limit=1001', 'limit=1.5', 'limit=x', 'limit=', 'limit=NaN', 'limit=Infinity', 'limit=1&limit=2', 'order=', 'order=up', 'order=ASC', 'order=asc&order=desc', 'since=1-2&since=1-3', 'limit=1e400', 'limit[]=1&limit=x')
).map((query) => get(`/rooms/a/history?${query}`))

const refusals: Array<fc.Arbitrary<Refused>> = [
  notJson.map((body) => publish('a', body)).map(expecting('400 INVALID_JSON')),
  notJson.map((body) => ({ ...batch(''), body })).map(expecting('400 INVALID_JSON')),
  fc.tuple(encoded, fc.constantFrom('', '/history', '/events')).map(([name, rest]) => rest === '' ? { ...publish('a', '1'), path: `/rooms/${name}` } : get(`/rooms/${name}${rest}`)).map(expecting('400 INVALID_ROOM')),
  fc.tuple(mediaTypes, fc.constantFrom('/rooms', '/rooms/a')).map(([type, path]) => ({ ...publish('a', '1', { 'content-type': type }), path })).map(expecting('415 MEDIA_TYPE')),
  fc.constantFrom('/rooms', '/rooms/a').map((path) => ({ ...publish('a', '1', {}), path })).map(expecting('415 MEDIA_TYPE')),
  fc.tuple(fc.constantFrom('/rooms', '/rooms/a'), fc.boolean(), fc.constantFrom(10_001, 20_000)).map(([path, chunked, size]) => ({ ...publish('a', `"${'x'.repeat(size - 2)}"`), path, chunked })).map(expecting('413 TOO_LARGE')),
  anyKey.map((key) => publish('a', '1', { ...JSON_TYPE, 'idempotency-key': key })).map(expecting('400 INVALID_IDEMPOTENCY_KEY')),
  fc.constantFrom('k', '', 'x'.repeat(200)).map((key) => batch({ messages: [{ room: 'a', data: 1 }] }, { 'idempotency-key': key })).map(expecting('400 INVALID_IDEMPOTENCY_KEY')),
  fc.oneof(noStrings, fc.constantFrom<unknown>({ rooms: ['a'] }, { data: 1 }, { rooms: 'a', data: 1 }, { messages: {} }, { messages: null }, { messages: [], rooms: [], data: 1 }, { messages: 'a' }, { rooms: {}, data: 1 }, { rooms: [], messages: [] }, [{ room: 'a', data: 1 }], '"text"'))
    .map((body) => batch(body)).map(expecting('400 INVALID_REQUEST')),
  fc.constantFrom('{"__proto__":{"rooms":["a"],"data":1}}', '{"__proto__":{"messages":[]}}').map((body) => batch(body)).map(expecting('400 INVALID_REQUEST')),
  fc.constantFrom({ messages: Array(21).fill({ room: 'a', data: 1 }) }, { rooms: Array(21).fill('a'), data: 1 }).map((body) => batch(body)).map(expecting('413 TOO_LARGE')),
  fc.tuple(room, badCursors.filter((since) => isWellFormed(since)), fc.constantFrom('history', 'events')).map(([name, since, route]) => get(`/rooms/${name}/${route}?since=${encodeURIComponent(since)}`)).map(expecting('400 INVALID_CURSOR')),
  fc.tuple(room, badCursors.map((text) => text.trim()).filter((text) => text !== '' && !/^\d+-\d+$/.test(text) && /^[\x20-\x7E]*$/.test(text))).map(([name, id]) => get(`/rooms/${name}/events?since=earliest`, { 'last-event-id': id })).map(expecting('400 INVALID_CURSOR')),
  fc.constantFrom(['1-2', '1-3'], ['', '1-2']).map((ids) => get('/rooms/a/events', { 'last-event-id': ids })).map(expecting('400 INVALID_CURSOR')),
  fc.constantFrom('since=1-2&since=1-3', 'since=1-2&since=').map((query) => get(`/rooms/a/events?${query}`)).map(expecting('400 INVALID_REQUEST')),
  wrongQueries.map(expecting('400 INVALID_REQUEST')),
  fc.constantFrom({}, { authorization: '' }, { authorization: 'Bearer ' }, { authorization: 'Bearer wrong' }, { authorization: 'Basic YTpi' }, { authorization: 'Bearer a b' }).map((headers) => ({ ...publish('a', '1'), headers: { ...JSON_TYPE, ...headers } as Record<string, string> })).map(expecting('401 UNAUTHORIZED')),
  fc.constantFrom('/rooms/a/presence', '/rooms/b/presence').map((path) => get(path)).map(expecting('401 UNAUTHORIZED')),
  fc.constantFrom('/rooms', '/rooms?room=a').map((path) => get(path)).map(expecting('426 UPGRADE_REQUIRED'))
]

test('requests that are refused', async (t) => {
  const { url, bystander, settled } = await start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const each = parameters(t, 45)
  let count = 0
  for (const refusal of refusals) {
    await fc.assert(fc.asyncProperty(refusal, async ({ expect, ...request }) => {
      const answer = await call(url, { ...request, agent })
      const got = `${answer.status} ${String(answer.body?.code).replace('FAN_OUT_ERR_', '')}`
      if (got !== expect) throw new Error(`${got} instead of ${expect}: ${answer.text.slice(0, 300)}`)
      const wrong = misshapen(answer)
      if (wrong !== undefined) throw new Error(`${wrong}: ${answer.text.slice(0, 300)}`)
      count++
    }), each)
  }
  t.comment(`${count} requests`)
  agent.destroy()
  await bystander.prove(t)
  await bystander.end()
  await settled(t, { published: 1 })
})

test('entries of a batch that are refused do not sink the others', async (t) => {
  const { url, bystander } = await start(t)
  const good = newRoom()
  const entry = fc.oneof(
    badRooms.map((room) => ({ entry: { room, data: 1 }, code: 'INVALID_ROOM' })),
    noStrings.map((room) => ({ entry: { room, data: 1 }, code: 'INVALID_ROOM' })),
    noStrings.map((entry) => ({ entry, code: 'INVALID_REQUEST' })),
    fc.constant({ entry: { room: good }, code: 'INVALID_REQUEST' }),
    fc.constantFrom<unknown>('', 'k'.repeat(129), 1, null, {}).map((idempotencyKey) => ({ entry: { room: good, data: 1, idempotencyKey }, code: 'INVALID_IDEMPOTENCY_KEY' })),
    fc.jsonValue().map((data) => ({ entry: { room: good, data }, code: undefined }))
  )
  await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 20 }), async (entries) => {
    const body = JSON.stringify({ messages: entries.map(({ entry }) => entry) })
    if (Buffer.byteLength(body) > 10_000) return
    const answer = await call(url, batch(body))
    const codes = answer.body.results.map(({ error }: any) => error?.code.replace('FAN_OUT_ERR_', ''))
    if (answer.status !== 200 || JSON.stringify(codes) !== JSON.stringify(entries.map(({ code }) => code)) || answer.body.failed !== codes.filter(Boolean).length) throw new Error(`${codes}: ${answer.text.slice(0, 500)}`)
  }), parameters(t, 100))
  await bystander.prove(t)
})

test('names of rooms in the URL', async (t) => {
  const { url } = await start(t)
  const short = await startApp(t)
  const post = (url: string, name: string) => call(url, { ...publish('a', '1'), path: `/rooms/${name}` })
  for (const name of ['x'.repeat(100), 'x'.repeat(101), 'x'.repeat(200), 'ü'.repeat(100), '𝄞'.repeat(50)]) {
    const answer = await post(url, encodeURIComponent(name))
    t.equal(answer.status, 200, `${name.length} characters`)
    t.equal(answer.body.room, name)
    // As documented: Fastify's own limit is 100 characters (decoded), unless the app raises it.
    const refused = await post(short.url, encodeURIComponent(name))
    t.equal(refused.status, name.length > 100 ? 414 : 200)
    if (refused.status === 414) t.match(refused.body, { statusCode: 414, message: String, error: String })
  }
  for (const [length, status] of [[201, 400], [600, 400], [601, 414]] as const) t.equal((await post(url, 'x'.repeat(length))).status, status, `${length} characters`)
  t.equal((await post(url, '%00')).body.code, 'FAN_OUT_ERR_INVALID_ROOM')
  t.equal((await post(url, 'a%2Fb')).body.room, 'a/b')
  t.equal((await post(url, '%252F')).body.room, '%2F')
  t.equal((await post(url, '%2E%2E')).body.room, '..')
  t.equal((await post(url, '__proto__')).body.room, '__proto__')
  for (const broken of ['%E0%A4%A', '%', '%ZZ', '%C3%28', '%ED%A0%80', '%FF']) {
    const answer = await post(url, broken)
    t.equal(answer.status, 400, broken)
    t.equal(answer.body.statusCode, 400)
  }
})

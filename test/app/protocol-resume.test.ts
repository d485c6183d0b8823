import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Client, Frame } from '../helpers.js'
import { test } from 'tap'
import { connect, newRoom, startApp } from '../helpers.js'

type App = Awaited<ReturnType<typeof startApp>>['app']
type Result = { answer: Frame, rest: Frame[], messages: unknown[], client: Client }

/** Subscribes with `frame` on a fresh connection, and answers what came up to a last message. */
async function subscribe (t: Test, { app, url }: { app: App, url: string }, room: string, frame: object): Promise<Result> {
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, ...frame })
  const answer = await client.frame({ type: 'subscribed', room })
  const end = `end ${Math.random()}`
  await app.rooms.publish(room, end)
  await client.frame({ type: 'message', room, data: end })
  const rest = client.frames.slice(client.frames.indexOf(answer) + 1, -1)
  return { answer, rest, messages: rest.filter(({ type }) => type === 'message').map(({ data }) => data), client }
}

/** A room with messages 1 to `count`, of which the window holds those that the options let it. */
async function filled (t: Test, count: number, options: FanOutOptions = {}): Promise<{ server: { app: App, url: string }, room: string, ids: string[] }> {
  const server = await startApp(t, options)
  const room = newRoom()
  const ids = []
  for (let data = 1; data <= count; data++) ids.push((await server.app.rooms.publish(room, data)).id)
  return { server, room, ids }
}

const above = (id: string, by: number): string => id.replace(/\d+$/, (offset) => String(Number(offset) + by))

test('without a cursor: what comes next', async (t) => {
  const { server, room, ids } = await filled(t, 3)
  const { answer, rest } = await subscribe(t, server, room, {})
  t.strictSame(answer, { type: 'subscribed', room, id: ids[2], replayed: 0 })
  t.strictSame(rest, [])
})

test('the cursor at the top: nothing, recovered', async (t) => {
  const { server, room, ids } = await filled(t, 3)
  const { answer, rest } = await subscribe(t, server, room, { since: ids[2] })
  t.match(answer, { id: ids[2], recovered: true, replayed: 0 })
  t.strictSame(rest, [])
})

test('the cursor at the top, of a window that has since become empty by age', async (t) => {
  const { server, room, ids } = await filled(t, 1, { history: { maxAge: 1 } })
  while ((await server.app.rooms.history(room)).messages.length > 0);
  t.match((await subscribe(t, server, room, { since: ids[0] })).answer, { id: ids[0], recovered: true, replayed: 0 })
})

test('a cursor in the window: what follows it', async (t) => {
  const { server, room, ids } = await filled(t, 5)
  const { answer, rest, messages } = await subscribe(t, server, room, { since: ids[1] })
  t.match(answer, { id: ids[1], recovered: true, replayed: 3 })
  t.strictSame(messages, [3, 4, 5])
  t.strictSame(rest.map(({ id }) => id), ids.slice(2))
})

test('an expired cursor: one gap, and then all that is retained', async (t) => {
  const { server, room, ids } = await filled(t, 10, { history: { size: 4 } })
  for (let i = 0; i < 2; i++) { // from the broker, and then from what the room holds
    const { messages: kept } = await server.app.rooms.history(room)
    const { answer, rest, messages } = await subscribe(t, server, room, { since: ids[1] })
    t.match(answer, { recovered: false, replayed: messages.length })
    t.match(rest[0], { type: 'gap', room, reason: 'expired', id: answer['id'] })
    t.notOk('from' in rest[0]!)
    t.equal(rest.filter(({ type }) => type === 'gap').length, 1)
    t.strictSame(messages.slice(-4), kept.map(({ data }) => data))
  }
})

test('just inside and just outside of the window', async (t) => {
  const { server, room, ids } = await filled(t, 10, { history: { size: 4 } })
  t.match((await subscribe(t, server, room, { since: ids[5] })).answer, { recovered: true, replayed: 4 })
  const next = await filled(t, 10, { history: { size: 4 } })
  t.match((await subscribe(t, next.server, next.room, { since: next.ids[4] })).answer, { recovered: false, replayed: 4 })
})

test('an epoch that the room has never had: a gap, and then all that is retained', async (t) => {
  const { server, room, ids } = await filled(t, 3)
  for (const since of ['1-1', '0-0', '9007199254740991-9007199254740991', `${BigInt(ids[2]!.split('-')[0]!) + 1n}-3`]) {
    const { answer, rest, messages } = await subscribe(t, server, room, { since })
    t.match(answer, { recovered: false }, since)
    t.match(rest[0], { type: 'gap', reason: 'epoch', id: answer['id'] })
    t.strictSame(messages.slice(0, 3), [1, 2, 3])
  }
})

test('above the top: a gap, at once', async (t) => {
  const { server, room, ids } = await filled(t, 3)
  for (const by of [1, 1_000]) {
    const { answer, rest } = await subscribe(t, server, room, { since: above(ids[2]!, by + 5) })
    t.match(answer, { recovered: false, replayed: 0 })
    t.match(rest, [{ type: 'gap', reason: 'forked', id: answer['id'], from: answer['id'] }])
  }
})

test("another room's cursor: a gap", async (t) => {
  const { server, room } = await filled(t, 3)
  const other = newRoom()
  const { id } = await server.app.rooms.publish(other, 1)
  const { answer, rest } = await subscribe(t, server, room, { since: id })
  t.match(answer, { recovered: false, replayed: 3 })
  t.match(rest[0], { type: 'gap', reason: 'epoch' })
})

test('a malformed cursor is an error', async (t) => {
  const { server: { url }, room, ids } = await filled(t, 1)
  const client = await connect(t, url)
  for (const since of ['', 'x', '1', '-1', '1-', '-1-1', '1--1', '01-1', '1-01', '1-1 ', ' 1-1', '1-1-1', '1.0-1', '9007199254740992-1', '1-18446744073709551616', 'NaN-1', 'latest', 'EARLIEST', `${ids[0]}\n`]) {
    client.send({ type: 'subscribe', room, since, ref: since.slice(0, 60) })
    t.match(await client.frame({ type: 'error', ref: since.slice(0, 60) }), { code: 'FAN_OUT_ERR_INVALID_CURSOR', room })
  }
  t.strictSame(client.of('subscribed'), [])
})

test('earliest: the whole window, and no gap', async (t) => {
  const { server, room } = await filled(t, 10, { history: { size: 4 } })
  const { answer, messages, rest } = await subscribe(t, server, room, { since: 'earliest' })
  t.match(answer, { replayed: 4 })
  t.strictSame(messages, [7, 8, 9, 10])
  t.notOk(rest.some(({ type }) => type === 'gap'))
  const empty = await subscribe(t, server, newRoom(), { since: 'earliest' })
  t.match(empty.answer, { replayed: 0 })
  t.strictSame(empty.rest, [])
})

test('replay: the last n, at most what there is; since beats it', async (t) => {
  const { server, room, ids } = await filled(t, 5)
  for (const [replay, expected] of [[2, [4, 5]], [0, []], [99, [1, 2, 3, 4, 5]]] as const) {
    const fresh = await filled(t, 5)
    const { answer, messages } = await subscribe(t, fresh.server, fresh.room, { replay })
    t.strictSame(messages, expected)
    t.match(answer, { replayed: expected.length, recovered: undefined })
  }
  const { answer, messages } = await subscribe(t, server, room, { replay: 1, since: ids[1] })
  t.match(answer, { recovered: true, replayed: 3 })
  t.strictSame(messages, [3, 4, 5])
  t.strictSame((await subscribe(t, server, room, { replay: 2 })).messages.length, 2, 'from the tail')
})

test('the cursor of a room in which nothing was published resumes', async (t) => {
  const server = await startApp(t, { linger: 0 })
  const room = newRoom()
  const first = await connect(t, server.url, `/rooms?room=${room}`)
  const { id } = await first.frame({ type: 'subscribed' })
  first.websocket.terminate()
  await server.app.rooms.publish(room, 'missed 1')
  await server.app.rooms.publish(room, 'missed 2')
  const { answer, messages } = await subscribe(t, server, room, { since: id })
  t.match(answer, { id, recovered: true, replayed: 2 })
  t.strictSame(messages, ['missed 1', 'missed 2'])
  const never = newRoom()
  const second = await connect(t, server.url, `/rooms?room=${never}`)
  const start = await second.frame({ type: 'subscribed' })
  t.match((await subscribe(t, server, never, { since: start['id'] })).answer, { id: start['id'], recovered: true, replayed: 0 })
})

test('a limit of the replay: who missed more is told by a gap', async (t) => {
  const { server, room, ids } = await filled(t, 10, { limits: { replay: 3 } })
  const { answer, rest, messages } = await subscribe(t, server, room, { since: ids[1] })
  t.match(answer, { recovered: false, replayed: 3 })
  t.match(rest[0], { type: 'gap', reason: 'overflow', id: answer['id'] })
  t.strictSame(messages, [8, 9, 10])
  const other = await filled(t, 10, { limits: { replay: 3 } })
  const earliest = await subscribe(t, other.server, other.room, { since: 'earliest' })
  t.strictSame(earliest.messages, [8, 9, 10])
  t.notOk(earliest.rest.some(({ type }) => type === 'gap'), 'earliest never begins with one')
})

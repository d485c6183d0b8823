import type { RoomEvent } from '../../index.js'
import { test } from 'tap'
import { connect, newRoom, startApp, until } from '../helpers.js'
import { Barrier, isInternal, ownBroker } from './broker.js'

test('publish and publishMany', async (t) => {
  const { app } = await startApp(t)
  const room = newRoom()
  t.strictSame(Object.keys(await app.rooms.publish(room, 1)), ['room', 'id', 'duplicate'])
  const first = await app.rooms.publish(room, { a: [1, 'x', null] }, { idempotencyKey: 'k' })
  t.match(first, { room, id: /-2$/, duplicate: false })
  t.match(await app.rooms.publish(room, 2, { idempotencyKey: 'k' }), { id: first.id, duplicate: true })
  for (const data of [undefined, () => {}, Symbol('s')]) await t.rejects(app.rooms.publish(room, data), { code: 'FAN_OUT_ERR_INVALID_JSON' })
  const round: Record<string, unknown> = {}
  round['r'] = round
  for (const data of [1n, round, { toJSON () { throw new Error('no') } }]) await t.rejects(app.rooms.publish(room, data), { code: 'FAN_OUT_ERR_INVALID_JSON' })
  for (const name of ['', 'a\n', 7, undefined, null, '\ud800', 'x'.repeat(201)]) await t.rejects(app.rooms.publish(name as string, 1), { code: 'FAN_OUT_ERR_INVALID_ROOM' })
  await t.rejects(app.rooms.publish(room, 'x'.repeat(2 ** 20)), { code: 'FAN_OUT_ERR_TOO_LARGE' })
  for (const idempotencyKey of ['', 'x'.repeat(129), 7]) await t.rejects(app.rooms.publish(room, 1, { idempotencyKey: idempotencyKey as string }), { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' })

  const results = await app.rooms.publishMany([{ room, data: 3 }, { room: '', data: 4 }, { room, data: undefined }, { room, data: 5, idempotencyKey: 'k' }, { room, data: new Date(0) }])
  t.match(results, [
    { room, id: /-3$/, duplicate: false }, { room: '', error: { code: 'FAN_OUT_ERR_INVALID_ROOM', statusCode: 400 } }, { room, error: { code: 'FAN_OUT_ERR_INVALID_JSON' } },
    { id: first.id, duplicate: true }, { id: /-4$/ }
  ])
  t.strictSame(await app.rooms.publishMany([]), [])
  t.strictSame((await app.rooms.history(room)).messages.at(-1)?.data, '1970-01-01T00:00:00.000Z')
  t.equal(app.rooms.stats().published, 4)
})

test('subscribe: events as on the wire, from wherever', async (t) => {
  const { app } = await startApp(t)
  const room = newRoom()
  const ids: string[] = []
  for (let i = 1; i <= 3; i++) ids.push((await app.rooms.publish(room, i)).id)
  const collect = async (options: object): Promise<{ events: RoomEvent[], subscription: Awaited<ReturnType<typeof app.rooms.subscribe>> }> => {
    const events: RoomEvent[] = []
    const subscription = await app.rooms.subscribe(room, options, (event) => { events.push(event) })
    t.teardown(() => subscription.close())
    return { events, subscription }
  }
  const next = await collect({})
  const since = await collect({ since: ids[0] })
  const gap = await collect({ since: '1-1' })
  const earliest = await collect({ since: 'earliest' })
  const last = await collect({ replay: 1 })
  t.match(next.subscription, { room, id: ids[2], recovered: undefined, replayed: 0 })
  t.match(since.subscription, { room, id: ids[0], recovered: true, replayed: 2 })
  t.match(gap.subscription, { recovered: false, replayed: 3 })
  t.match(last.subscription, { id: ids[1], recovered: undefined, replayed: 1 })
  const { id } = await app.rooms.publish(room, 4)
  for (const { events } of [next, since, gap, earliest, last]) await until(() => events.some(({ id: other }) => other === id))
  const short = ({ events }: { events: RoomEvent[] }): unknown[] => events.map((event) => event.type === 'message' ? event.data : event.type)
  t.strictSame(short(next), [4])
  t.strictSame(next.events, [{ type: 'message', room, id, data: 4 }])
  t.strictSame(short(since), [2, 3, 4])
  t.strictSame(short(gap), ['gap', 1, 2, 3, 4])
  t.match(gap.events[0], { type: 'gap', room, reason: 'epoch', id: gap.subscription.id })
  t.strictSame(short(earliest), [1, 2, 3, 4])
  t.strictSame(short(last), [3, 4])
  const plain: unknown[] = []
  const subscription = await app.rooms.subscribe(room, (event) => plain.push(event))
  await subscription.close()
  await subscription.close()
  await app.rooms.publish(room, 5)
  await until(() => next.events.length === 2)
  t.strictSame(plain, [], 'nothing after close() has resolved')
  for (const options of [{ since: 'x' }, { since: 1 }, { replay: -1 }, { replay: 1.5 }]) await t.rejects(app.rooms.subscribe(room, options as never, () => {}), { code: /^FAN_OUT_ERR_INVALID_/ })
  await t.rejects(app.rooms.subscribe('', () => {}), { code: 'FAN_OUT_ERR_INVALID_ROOM' })
  await t.rejects(app.rooms.subscribe(room, {} as never), { code: 'FAN_OUT_ERR_INVALID_REQUEST' })
})

test('a handler that answers a promise is waited for; one that throws goes on', async (t) => {
  const { app } = await startApp(t)
  const room = newRoom()
  const log: string[] = []
  const waiting: Array<() => void> = []
  await app.rooms.subscribe<number>(room, async (event) => {
    if (event.type !== 'message') return
    log.push(`begin ${event.data}`)
    await new Promise<void>((resolve) => waiting.push(resolve))
    log.push(`end ${event.data}`)
    if (event.data === 2) throw new Error('rejected')
  })
  const failing: unknown[] = []
  await app.rooms.subscribe(room, (event) => { failing.push(event.type === 'message' && event.data); throw new Error('thrown') })
  for (let i = 1; i <= 4; i++) await app.rooms.publish(room, i)
  for (let i = 1; i <= 4; i++) {
    await until(() => waiting.length === 1)
    t.equal(log.length, 2 * i - 1)
    waiting.shift()!()
  }
  await until(() => log.length === 8)
  t.strictSame(log, [1, 2, 3, 4].flatMap((i) => [`begin ${i}`, `end ${i}`]))
  t.strictSame(failing, [1, 2, 3, 4])
})

test('a slow handler holds up nobody else, and loses nothing of the window', async (t) => {
  const { app } = await startApp(t)
  const room = newRoom()
  const [slow, fast]: [number[], number[]] = [[], []]
  const barrier = new Barrier()
  await app.rooms.subscribe<number>(room, async (event) => { await barrier.pass(); if (event.type === 'message') slow.push(event.data) })
  await app.rooms.subscribe<number>(room, (event) => { if (event.type === 'message') fast.push(event.data) })
  for (let i = 0; i < 500; i++) await app.rooms.publish(room, i)
  await until(() => fast.length === 500)
  t.strictSame(slow, [])
  barrier.open()
  await until(() => slow.length === 500)
  t.strictSame(slow, fast)
})

test('a signal: before, while it is pending, in the replay, and after', async (t) => {
  const barrier = new Barrier()
  const { app } = await startApp(t, { broker: ownBroker((inner) => ({ subscribe: async (room) => { if (room.startsWith('slow')) await barrier.pass(); return await inner.subscribe(room) } })) })
  const room = newRoom()
  const events: unknown[] = []
  const handler = (event: unknown): unknown => events.push(event)
  const reason = new Error('mine')
  await t.rejects(app.rooms.subscribe(room, { signal: AbortSignal.abort(reason) }, handler), reason)
  const pending = new AbortController()
  const subscribing = app.rooms.subscribe(`slow ${room}`, { signal: pending.signal }, handler)
  await until(() => barrier.waiting === 1)
  pending.abort(reason)
  barrier.open()
  await t.rejects(subscribing, reason)
  await app.rooms.publish(`slow ${room}`, 1)
  t.equal(app.rooms.stats().subscriptions, 0)

  const after = new AbortController()
  await app.rooms.subscribe(room, { signal: after.signal }, handler)
  await app.rooms.publish(room, 1)
  await until(() => events.length === 1)
  after.abort()
  await until(() => app.rooms.stats().subscriptions === 0)
  await app.rooms.publish(room, 2)
  for (let i = 3; i < 10; i++) await app.rooms.publish(room, i)

  const within = new AbortController()
  const seen: unknown[] = []
  await app.rooms.subscribe(room, { signal: within.signal, since: 'earliest' }, (event) => { seen.push(event); within.abort() }).catch(() => {})
  await app.rooms.publish(room, 10)
  await until(() => app.rooms.stats().subscriptions === 0)
  t.equal(seen.length, 1, 'aborted by its own handler, in the replay')
  t.equal(events.length, 1)
})

test('unsubscribe and disconnect name users or connections', async (t) => {
  const { app, url } = await startApp(t, { authenticate: (_request, token) => token === undefined ? null : { user: token } })
  const [a, b] = [newRoom(), newRoom()]
  const open = async (user: string): Promise<Awaited<ReturnType<typeof connect>>> => {
    const client = await connect(t, url, `/rooms?room=${a}&room=${b}`, ['fan-out.v1', `bearer.${user}`])
    await client.frame({ type: 'subscribed', room: a })
    await client.frame({ type: 'subscribed', room: b })
    return client
  }
  const [one, two, other] = [await open('u'), await open('u'), await open('other')]
  await app.rooms.unsubscribe(a, { user: 'u' }, 'a reason')
  for (const client of [one, two]) t.match(await client.frame({ type: 'unsubscribed' }), { room: a, code: 'FAN_OUT_ERR_UNSUBSCRIBED', reason: 'a reason' })
  await app.rooms.unsubscribe(b, { connection: one.of('welcome')[0]!['connection'] })
  await one.frame({ type: 'unsubscribed', room: b })
  await app.rooms.publish(a, 1)
  await app.rooms.publish(b, 1)
  await other.frame({ type: 'message', room: b })
  await two.frame({ type: 'message', room: b })
  t.strictSame([...one.of('message'), ...two.of('message', a), ...other.of('unsubscribed')], [])
  await app.rooms.disconnect({ user: 'u', connection: other.of('welcome')[0]!['connection'] })
  await app.rooms.disconnect({ connection: one.of('welcome')[0]!['connection'] }, '\u00e4'.repeat(100))
  const { code, reason } = await one.close()
  t.equal(code, 4403)
  t.equal(reason, '\u00e4'.repeat(61), 'as much as a close frame takes')
  await app.rooms.disconnect({ user: 'u' })
  t.match(await two.close(), { code: 4403 })
  t.equal(other.closed, undefined, 'both conditions must hold')
  for (const filter of [{}, { user: undefined }]) await t.rejects(app.rooms.disconnect(filter as never), { code: 'FAN_OUT_ERR_INVALID_REQUEST' })
  await t.rejects(app.rooms.unsubscribe('', { user: 'u' }), { code: 'FAN_OUT_ERR_INVALID_ROOM' })
  await until(() => app.rooms.stats().connections.websocket === 1)
})

test('the last one out leaves the room at the broker, after the linger', async (t) => {
  const calls: string[] = []
  const broker = ownBroker((inner) => ({
    async subscribe (room) { if (!isInternal(room)) calls.push(`subscribe ${room}`); return await inner.subscribe(room) },
    async unsubscribe (room) { calls.push(`unsubscribe ${room}`); await inner.unsubscribe(room) }
  }))
  const { app, url } = await startApp(t, { broker, linger: 50 })
  const room = newRoom()
  const first = await connect(t, url, `/rooms?room=${room}`)
  const { id } = await first.frame({ type: 'subscribed' })
  const second = await connect(t, url, `/rooms?room=${room}`)
  await second.frame({ type: 'subscribed' })
  t.strictSame(calls, [`subscribe ${room}`], 'once for all')
  first.websocket.close()
  second.websocket.close()
  await until(() => app.rooms.stats().subscriptions === 0)
  const again = await connect(t, url, `/rooms?room=${room}&since=${id}`)
  t.match(await again.frame({ type: 'subscribed' }), { recovered: true })
  t.equal(calls.length, 1, 'a reload does not churn')
  again.websocket.close()
  await until(() => calls.length === 2)
  t.strictSame(calls[1], `unsubscribe ${room}`)
  await until(() => app.rooms.stats().rooms === 0)
  await app.rooms.publish(room, 'alone')
  const later = await connect(t, url, `/rooms?room=${room}&since=${id}`)
  await later.frame({ type: 'message', data: 'alone' })
})

import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Frame } from '../helpers.js'
import { connect, newRoom, openStream, post, startApp, until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'
import { RedisServer } from '../redis-server.js'

type Started = Awaited<ReturnType<typeof startApp>>

/** Two servers on a Redis, or a NATS, of their own. */
export async function twoServers (t: Test, scheme: 'redis:' | 'redis+pubsub:' | 'nats:', options: FanOutOptions = {}): Promise<[Started, Started]> {
  const { url } = scheme === 'nats:' ? await NatsServer.start(t) : await RedisServer.start(t)
  const broker = url.replace(/^\w+:/, scheme)
  return await Promise.all([startApp(t, { ...options, broker }), startApp(t, { ...options, broker })])
}

/** What makes two servers one system, with a window or without. `inOneOrder`: also where both publish. `keys`: they are remembered. */
export function areOneSystem (t: Test, [a, b]: [Started, Started], { inOneOrder, keys = true }: { inOneOrder: boolean, keys?: boolean }): void {
  t.test('a message published on one reaches the clients of both, under the id that its publisher was told', async (t) => {
    const room = newRoom()
    const [onA, onB] = await Promise.all([connect(t, a.url), connect(t, b.url)])
    const stream = await openStream(t, `${b.url}/rooms/${room}/events`)
    for (const client of [onA, onB]) {
      client.send({ type: 'subscribe', room })
      await client.frame({ type: 'subscribed', replayed: 0 })
    }
    await stream.event({ event: 'subscribed' })
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => post(`${i % 2 === 0 ? a.url : b.url}/rooms/${room}`, i)))
    const published = answers.map(({ body }, i) => ({ type: 'message', room, id: body.id, data: i }))
    const byData = (one: Frame, other: Frame): number => one['data'] - other['data']
    for (const client of [onA, onB]) {
      await until(() => client.of('message').length === 50)
      t.strictSame(client.of('message').sort(byData), published)
      t.equal(client.of('gap').length, 0)
    }
    if (inOneOrder) t.strictSame(onA.of('message'), onB.of('message'))
    await until(() => stream.events.filter(({ event }) => event === 'message').length === 50)
    t.strictSame(new Set(stream.events.slice(1).map(({ id }) => id)), new Set(published.map(({ id }) => id)))
  })

  if (keys) {
    t.test('a key counts on both', async (t) => {
      const room = newRoom()
      const client = await connect(t, b.url)
      client.send({ type: 'subscribe', room })
      await client.frame({ type: 'subscribed' })
      const first = await post(`${a.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
      t.equal(first.body.duplicate, undefined)
      const second = await post(`${b.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
      t.strictSame(second.body, { ...first.body, duplicate: true })
      // The number that the second would have had is not missed.
      const { body } = await post(`${b.url}/rooms/${room}`, 2)
      await client.frame({ type: 'message', id: body.id })
      t.strictSame(client.of('message').map(({ data }) => data), [1, 2])
      t.equal(client.of('gap').length, 0)
    })
  }

  t.test('a command reaches the clients of both', async (t) => {
    const client = await connect(t, b.url)
    const { connection } = await client.frame({ type: 'welcome' })
    await a.app.rooms.disconnect({ connection }, 'bye')
    t.match(await client.close(), { code: 4403 })
  })
}

/** What comes of keeping nothing. */
export function keepNothing (t: Test, [a, b]: [Started, Started]): void {
  t.test('who comes back is told one gap, wherever it stood, and then goes on', async (t) => {
    const room = newRoom()
    const first = await connect(t, a.url)
    first.send({ type: 'subscribe', room })
    const { id: silent } = await first.frame({ type: 'subscribed' })
    t.match(silent, /^\d+-\d+$/, 'a silent room has a position')
    const { body: { id: last } } = await post(`${a.url}/rooms/${room}`, 1)
    await first.frame({ type: 'message', id: last })

    for (const since of [silent, last, '12345-9007199254740991']) {
      const again = await connect(t, b.url)
      again.send({ type: 'subscribe', room, since })
      const { id, recovered, replayed } = await again.frame({ type: 'subscribed' })
      t.strictSame({ recovered, replayed }, { recovered: false, replayed: 0 })
      t.strictSame(await again.frame({ type: 'gap' }), { type: 'gap', room, id, reason: 'expired' })
      const { body } = await post(`${a.url}/rooms/${room}`, since)
      await again.frame({ type: 'message', id: body.id, data: since })
      t.equal(again.of('gap').length, 1)
    }
    const stream = await openStream(t, `${b.url}/rooms/${room}/events`, { 'last-event-id': last })
    const gap = await stream.event({ event: 'gap' })
    t.match(JSON.parse(gap.data), { reason: 'expired' })
    const { body } = await post(`${b.url}/rooms/${room}`, 'over SSE')
    await stream.event({ event: 'message', id: body.id })
  })

  t.test('who wants the oldest or the newest is given what comes next, with no gap', async (t) => {
    const room = newRoom()
    await post(`${a.url}/rooms/${room}`, 'before')
    const clients = await Promise.all([a, b].map(({ url }) => connect(t, url)))
    for (const [i, client] of clients.entries()) {
      client.send({ type: 'subscribe', room, ...(i === 0 ? { since: 'earliest' } : { replay: 5 }) })
      t.equal((await client.frame({ type: 'subscribed', replayed: 0 }))['recovered'], undefined)
    }
    await post(`${b.url}/rooms/${room}`, 'after')
    for (const client of clients) {
      await client.frame({ type: 'message', data: 'after' })
      t.strictSame(client.frames.slice(-2).map(({ type }) => type), ['subscribed', 'message'])
    }
  })

  t.test('history is empty, and says so to whoever asks what it missed', async (t) => {
    const room = newRoom()
    const { body: { id } } = await post(`${a.url}/rooms/${room}`, 1)
    for (const query of ['', '?order=desc', `?since=${id}`, `?since=${id}&order=desc`]) {
      const history = await (await fetch(`${b.url}/rooms/${room}/history${query}`)).json()
      t.match(history, { room, complete: !query.includes('since'), more: false, messages: [], id: /^\d+-\d+$/ }, query)
    }
  })
}

/** A history of 10 messages is what a slow subscriber is served from, and told a gap where that is not enough. */
export async function serveTheSlow (t: Test, [a, b]: [Started, Started]): Promise<void> {
  const room = newRoom()
  const events: Array<{ type: string, data?: unknown }> = []
  let go = (): void => {}
  const subscription = await a.app.rooms.subscribe(room, {}, async (event) => {
    events.push(event)
    await new Promise<void>((resolve) => { go = resolve })
  })
  t.teardown(() => subscription.close())
  const publish = async (from: number, to: number): Promise<void> => {
    for (let i = from; i <= to; i++) await (i % 2 === 0 ? a : b).app.rooms.publish(room, i)
    await until(() => a.app.rooms.stats().received >= received + to)
  }
  const { received } = a.app.rooms.stats()
  await publish(1, 8)
  for (let i = 1; i < 8; i++) {
    await until(() => events.length === i)
    go()
  }
  await until(() => events.length === 8)
  t.strictSame(events.map(({ data }) => data), [1, 2, 3, 4, 5, 6, 7, 8], 'served from memory')
  await publish(9, 40)
  go()
  await until(() => events.length === 9)
  t.equal(events[8]?.type, 'gap')
  go()
  await publish(41, 41)
  await until(() => events.length === 10)
  t.match(events[9], { type: 'message', data: 41 })
}

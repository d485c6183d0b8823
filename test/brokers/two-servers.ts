import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Frame } from '../helpers.js'
import { connect, newRoom, openStream, post, startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'

type Started = Awaited<ReturnType<typeof startApp>>

/** Two servers on a Redis of their own. */
export async function twoServers (t: Test, scheme: 'redis:' | 'redis+pubsub:', options: FanOutOptions = {}): Promise<[Started, Started]> {
  const redis = await RedisServer.start(t)
  const broker = redis.url.replace('redis:', scheme)
  return await Promise.all([startApp(t, { ...options, broker }), startApp(t, { ...options, broker })])
}

/** What makes two servers one system, with a window or without. `inOneOrder`: also where both publish. */
export function areOneSystem (t: Test, [a, b]: [Started, Started], { inOneOrder }: { inOneOrder: boolean }): void {
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

  t.test('a command reaches the clients of both', async (t) => {
    const client = await connect(t, b.url)
    const { connection } = await client.frame({ type: 'welcome' })
    await a.app.rooms.disconnect({ connection }, 'bye')
    t.match(await client.close(), { code: 4403 })
  })
}

import type { FastifyInstance } from 'fastify'
import type { RedisClient } from '../../index.js'
import fastifyRedis from '@fastify/redis'
import { test } from 'tap'
import { connect, newRoom, openStream, post, startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'

test('two servers on one Redis are one system', async (t) => {
  const redis = await RedisServer.start(t)
  const [a, b] = await Promise.all([startApp(t, { broker: redis.url }), startApp(t, { broker: redis.url })])

  t.test('a message published on one reaches the clients of both, in one order', async (t) => {
    const room = newRoom()
    const [onA, onB] = await Promise.all([connect(t, a.url), connect(t, b.url)])
    const stream = await openStream(t, `${b.url}/rooms/${room}/events`)
    for (const client of [onA, onB]) {
      client.send({ type: 'subscribe', room })
      await client.frame({ type: 'subscribed' })
    }
    await stream.event({ event: 'subscribed' })
    await Promise.all(Array.from({ length: 50 }, (_, i) => post(`${i % 2 === 0 ? a.url : b.url}/rooms/${room}`, i)))
    for (const client of [onA, onB]) await until(() => client.of('message').length === 50)
    t.strictSame(onA.of('message'), onB.of('message'))
    await until(() => stream.events.filter(({ event }) => event === 'message').length === 50)
    t.equal(onA.of('gap').length + onB.of('gap').length, 0)
  })

  t.test('a client that comes back to the other server misses nothing', async (t) => {
    const room = newRoom()
    const client = await connect(t, a.url)
    client.send({ type: 'subscribe', room })
    const { id } = await client.frame({ type: 'subscribed' })
    client.websocket.terminate()
    for (let i = 0; i < 5; i++) t.equal((await post(`${a.url}/rooms/${room}`, i)).status, 200)
    const again = await connect(t, b.url)
    again.send({ type: 'subscribe', room, since: id })
    t.match(await again.frame({ type: 'subscribed' }), { recovered: true, replayed: 5, id })
    await until(() => again.of('message').length === 5)
    t.strictSame(again.of('message').map(({ data }) => data), [0, 1, 2, 3, 4])
  })

  t.test('a key counts on both', async (t) => {
    const room = newRoom()
    const first = await post(`${a.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
    const second = await post(`${b.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
    t.equal(first.body.duplicate, undefined)
    t.strictSame(second.body, { ...first.body, duplicate: true })
  })

  t.test('history is the same on both', async (t) => {
    const room = newRoom()
    const { body } = await post(`${a.url}/rooms/${room}`, { hello: 1 })
    const history = await (await fetch(`${b.url}/rooms/${room}/history`)).json()
    t.match(history, { id: body.id, complete: true, more: false, messages: [{ id: body.id, data: { hello: 1 } }] })
  })
})

test('the connection of an app that has @fastify/redis is used, and not closed', async (t) => {
  const redis = await RedisServer.start(t)
  let app: FastifyInstance & { redis: RedisClient } | undefined
  const started = await startApp(t, { get broker () { return app!.redis } } as object, {}, async (bare) => {
    await bare.register(fastifyRedis, { url: redis.url })
    app = bare as typeof app
  })
  const room = newRoom()
  const client = await connect(t, started.url)
  client.send({ type: 'subscribe', room })
  await client.frame({ type: 'subscribed' })
  await post(`${started.url}/rooms/${room}`, 'hello')
  await client.frame({ type: 'message', data: 'hello' })
  t.equal(app!.redis.status, 'ready')
})

import type { FastifyInstance } from 'fastify'
import type { RedisClient } from '../../index.js'
import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import { test } from 'tap'
import { connect, newRoom, post, startApp, until } from '../helpers.js'
import fanOut from '../../index.js'
import { RedisServer } from '../redis-server.js'
import { areOneSystem, twoServers } from './two-servers.js'

test('two servers on one Redis are one system', async (t) => {
  const [a, b] = await twoServers(t, 'redis:')
  areOneSystem(t, [a, b], { inOneOrder: true })

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

  t.test('history is the same on both', async (t) => {
    const room = newRoom()
    const { body } = await post(`${a.url}/rooms/${room}`, { hello: 1 })
    const history = await (await fetch(`${b.url}/rooms/${room}/history`)).json()
    t.match(history, { id: body.id, complete: true, more: false, messages: [{ id: body.id, data: { hello: 1 } }] })
  })
})

test('like the connection of an app that has @fastify/redis, which is left alone', async (t) => {
  const redis = await RedisServer.start(t)
  let app: FastifyInstance & { redis: RedisClient & Record<string, RedisClient> } | undefined
  for (const namespace of [undefined, 'rooms']) {
    const started = await startApp(t, { get broker () { return namespace === undefined ? app!.redis : app!.redis[namespace] } } as object, {}, async (bare) => {
      await bare.register(fastifyRedis, { url: redis.url, ...(namespace !== undefined && { namespace }) })
      app = bare as typeof app
    })
    const room = newRoom()
    const client = await connect(t, started.url)
    client.send({ type: 'subscribe', room })
    await client.frame({ type: 'subscribed' })
    await post(`${started.url}/rooms/${room}`, 'hello')
    await client.frame({ type: 'message', data: 'hello' })
    const given = namespace === undefined ? app!.redis : app!.redis[namespace]!
    t.equal(given.status, 'ready')
    t.match(await given.ping(), 'PONG')
  }
})

test('with a URL, an app may register @fastify/redis before or after', async (t) => {
  const redis = await RedisServer.start(t)
  for (const first of [true, false]) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (first) await app.register(fastifyRedis, { url: redis.url })
    await app.register(fanOut, { broker: redis.url })
    if (!first) await app.register(fastifyRedis, { url: redis.url })
    t.match(await app.rooms.publish(newRoom(), 1), { duplicate: false })
    t.equal(await app.redis.ping(), 'PONG')
  }
})

test('what a server opened it closes', async (t) => {
  const redis = await RedisServer.start(t)
  const connections = async (): Promise<number> => (await redis.admin.call('CLIENT', 'LIST') as string).trim().split('\n').length
  const before = await connections()
  const app = Fastify()
  await app.register(fanOut, { broker: redis.url, brokerOptions: { replicas: 1 } })
  await app.ready()
  t.equal(await connections(), before + 3, 'commands, subscriptions, and publishes that wait')
  await app.close()
  await until(async () => await connections() === before)
})

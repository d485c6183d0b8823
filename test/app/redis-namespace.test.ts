import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import tap, { test } from 'tap'
import fanOut from '../../index.js'
import { newRoom, until } from '../helpers.js'
import { freePort, RedisServer } from '../redis-server.js'

const redis = await RedisServer.start(tap)
const connections = async (): Promise<number> => String(await redis.admin.client('LIST')).trim().split('\n').length

async function bootedApp (t: Test, options: FanOutOptions, before = async (_: FastifyInstance): Promise<void> => {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await before(app)
  await app.register(fanOut, options)
  return app
}

for (const scheme of ['redis', 'redis+pubsub']) {
  test(`${scheme}: an app that has @fastify/redis finds the connection under a namespace, and closing ends it`, async (t) => {
    const before = await connections()
    const app = await bootedApp(t, { broker: redis.url.replace('redis', scheme) }, async (app) => {
      await app.register(fastifyRedis, { url: redis.url, namespace: 'cache' })
    })
    await app.ready()
    const ours = app.redis['fan-out:rooms']!
    t.equal(await ours.ping(), 'PONG')
    await app.rooms.publish(newRoom(), 1)
    await app.close()
    await until(() => ours.status === 'end')
    await until(() => app.redis['cache']!.status === 'end', 'its own is closed by @fastify/redis')
    await until(async () => await connections() === before, 'no connection is left')
  })
}

test('an app can register @fastify/redis after us, as if we had not', async (t) => {
  const app = await bootedApp(t, { broker: redis.url })
  t.notOk(app.hasDecorator('redis'))
  await app.register(fastifyRedis, { url: redis.url })
  await app.ready()
  t.equal(await app.redis.ping(), 'PONG')
  await app.rooms.publish(newRoom(), 1)
})

test('two of them, on a client that is the `redis` of two apps', async (t) => {
  const client = redis.admin.duplicate()
  t.teardown(() => client.disconnect())
  const given = async (app: FastifyInstance): Promise<void> => { await app.register(fastifyRedis, { client }) }
  const apps = [await bootedApp(t, { broker: redis.url }, given), await bootedApp(t, { broker: redis.url }, given)]
  for (const app of apps) {
    await app.register(fanOut, { broker: redis.url, name: 'others', prefix: '/others' })
    await app.ready()
    await app.rooms.publish(newRoom(), 1)
    await app.close()
  }
  t.equal(await client.ping(), 'PONG', 'the app\'s own is left alone')
})

test('a Redis that is away at the start has no namespace, and the app starts', async (t) => {
  const app = await bootedApp(t, { broker: `redis://127.0.0.1:${await freePort()}`, brokerOptions: { start: 'background' } }, async (app) => {
    await app.register(fastifyRedis, { url: redis.url, namespace: 'cache' })
  })
  await app.ready()
  t.strictSame(Object.keys(app.redis), ['cache'])
})

import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'

// Redis loses keys while it runs: whoever is concerned is told.

test('FLUSHALL: everybody is told', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), listeners: 36 })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await redis.admin.flushall()
  await stage.told(t, /epoch/)
  await stage.check(t, { gaps: true })
})

test('FLUSHALL in the middle of traffic, while clients come and go', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  const among = [...stage.listeners]
  await stage.busy(async () => {
    await stage.progress(30 + stage.random.upTo(50))
    await redis.admin.flushall()
    await stage.progress(50)
  })
  await stage.told(t, /epoch|forked/, { most: 2, among })
  await stage.check(t, { gaps: true })
})

test('DEL of only the meta: another history', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  t.equal(await redis.admin.del(`fan-out:1:{${stage.room}}:m`), 1)
  await stage.told(t, /epoch/, { rooms: [stage.room] })
  t.ok(stage.listeners.every(({ room, gaps }) => room === stage.room || gaps.length === 0), 'nobody else is')
  await stage.check(t, { gaps: true })
})

test('DEL of only the stream: who has all of it is told nothing, who comes back is told', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { options: { linger: 100 } }), rooms: 1, listeners: 12 })
  const [gone] = stage.listeners
  await stage.publish(5)
  await stage.healed()
  await gone!.leave()
  await stage.publish(5)
  t.equal(await redis.admin.del(`fan-out:1:{${stage.room}}:s`), 1)
  await stage.publish(5)
  await until(() => stage.listeners.every((listener) => listener === gone || listener.texts.length === 15))
  const history = await stage.servers[0]!.app!.rooms.history(stage.room, { since: stage.listeners[1]!.entries[3]!.id })
  t.equal(history.complete, false)
  t.equal(history.messages.length, 5)
  // No server holds it in its tail any more.
  await Promise.all(stage.listeners.map(async (listener) => await listener.leave()))
  await until(() => stage.servers.every(({ app }) => app!.rooms.stats().rooms === 0))
  for (const listener of stage.listeners) listener.come(stage.pick(stage.servers))
  await stage.settled()
  await until(() => gone!.gaps.length === 1)
  t.match(gone!.gaps, [{ reason: 'expired' }])
  t.equal(gone!.texts.length, 10)
  t.ok(stage.listeners.every((listener) => listener === gone || listener.gaps.length === 0), stage.state())
  await stage.check(t, { gaps: true })
})

test('eviction: memory runs short under allkeys-random, and whoever is concerned is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), rooms: 6, listeners: 36 })
  await redis.admin.config('SET', 'maxmemory-policy', 'allkeys-random')
  const metas = stage.rooms.map((room) => `fan-out:1:{${room}}:m`)
  const fill = async (): Promise<unknown> => await redis.admin.mset(Array.from({ length: 100 }, (_, i) => [`filling:${stage.random.upTo(1e9)}:${i}`, 'x'.repeat(500)]).flat())
  for (let i = 0; i < 20; i++) await fill()
  await stage.busy(async () => {
    await stage.progress(100)
    const [, used] = /used_memory:(\d+)/.exec(await redis.admin.info('memory'))!
    await redis.admin.config('SET', 'maxmemory', used!)
    await until(async () => {
      await fill().catch(() => {})
      return await redis.admin.exists(...metas) < metas.length
    }, 'a room to be evicted', 20_000)
    await stage.progress(50)
    await redis.admin.config('SET', 'maxmemory', '0')
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms; told: ${stage.listeners.filter(({ gaps }) => gaps.length > 0).length}`)
  await stage.check(t, { gaps: true })
  t.ok(stage.verdict().gaps > 0, 'somebody was told')
})

test('eviction in a silence: all who listen to what is gone are told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(20, { room })
  await stage.healed()
  await redis.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await redis.admin.config('SET', 'maxmemory', '1')
  await until(async () => await redis.admin.dbsize() === 0, 'all to be evicted')
  await redis.admin.config('SET', 'maxmemory', '0')
  await stage.told(t, /epoch/)
  await stage.check(t, { gaps: true })
})

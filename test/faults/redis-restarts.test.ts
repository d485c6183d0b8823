import { Redis } from 'ioredis'
import { test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { behindProxies } from './servers.js'
import { BUSY, Stage } from './stage.js'

const ALWAYS = ['--appendonly', 'yes', '--appendfsync', 'always']

test('kill -9 and restart, AOF always: nothing is lost, nobody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ALWAYS)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), listeners: 36 })
  await stage.busy(async () => {
    for (let i = 0; i < 3; i++) {
      await stage.progress(20 + stage.random.upTo(60))
      await redis.kill()
      await sleep(stage.random.upTo(500))
      await redis.start()
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('kill -9 and restart in a silence, AOF always: the clients are not told, and what was missed comes', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ALWAYS)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(3, { room })
  await stage.healed()
  stage.each((proxy) => proxy.drop(stage.rooms.length))
  for (const room of stage.rooms) await stage.publish(1, { room })
  await redis.kill()
  t.ok(stage.verdict().losses.length > 0, 'the last were dropped')
  await redis.start()
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('LOADING: Redis is there, and has not read its log yet', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ALWAYS)
  // A client that does not wait until Redis has loaded is refused by Redis itself.
  const impatient = new Redis(redis.port, '127.0.0.1', { enableReadyCheck: false, retryStrategy: () => 50 }).on('error', () => {})
  t.teardown(() => impatient.disconnect())
  const servers = await behindProxies(t, redis.port)
  const stage = await Stage.start(t, { servers: [...servers, { broker: impatient }] })
  await stage.busy(() => stage.progress(100))
  const pipeline = redis.admin.pipeline()
  for (let i = 0; i < 10_000; i++) pipeline.set(`filling:${i}`, i)
  await pipeline.exec()
  await redis.kill()
  const started = redis.start('--key-load-delay', '200')
  const asked = new Redis(redis.port, '127.0.0.1', { enableReadyCheck: false, retryStrategy: () => 20, maxRetriesPerRequest: null }).on('error', () => {})
  t.teardown(() => asked.disconnect())
  await t.rejects(asked.get('filling:1'), { message: /^LOADING/ })
  const published = await Promise.all(stage.servers.map(async (server) => await stage.publish(2, { server })))
  await started
  for (const { error } of published.flat()) t.equal(error, undefined, 'published when it was over')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('restart with nothing on disk: everybody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  const among = [...stage.listeners]
  await stage.busy(async () => {
    await stage.progress(50)
    await redis.kill()
    await redis.start()
    await stage.progress(20)
  })
  await stage.told(t, /epoch|forked/, { most: 2, among })
  await stage.check(t, { gaps: true })
})

test('restart with nothing on disk, in a silence: everybody is told, once', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await redis.kill()
  await redis.start()
  await stage.told(t, /epoch/)
  await stage.check(t, { gaps: true })
})

test('restart from a truncated AOF: everybody is told', { timeout: 60_000 }, async (t) => {
  // As if the machine had gone: its log is written back to an earlier length, which is in the middle of an entry.
  const redis = await RedisServer.start(t, [...ALWAYS, '--aof-load-truncated', 'yes'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  const before = await redis.appendOnlyLength()
  for (const room of stage.rooms) await stage.publish(4, { room })
  await stage.healed()
  await redis.kill()
  await redis.truncateAppendOnly(before + stage.random.upTo(40))
  await redis.start()
  await stage.told(t, /forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

test('Redis is away for a while: publishes are refused in time, and all is repaired when it is back', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ALWAYS)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  await stage.publish(5)
  await redis.kill()
  const [outcome] = await stage.publish(1)
  t.match(outcome!.error, /BROKER_AWAY/)
  t.ok(outcome!.took < 5_000 + BUSY)
  await redis.start()
  const back = performance.now()
  await until(async () => (await stage.publish(1))[0]!.error === undefined)
  await stage.healed()
  t.ok(performance.now() - back < 5_000, 'within 5 s of its being back')
  await stage.check(t, { gaps: false })
})

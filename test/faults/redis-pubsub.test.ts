import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { childServer } from './child.js'
import { Stage } from './stage.js'
import { arrives, judgeWindowless, startWindowless } from './windowless.js'

// Redis goes, forgets, or says no; for its links see redis-pubsub-links.test.ts.

test('Redis is restarted in the middle of traffic, over and over', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis, { servers: 3, listeners: 36 })
  await stage.busy(async () => {
    for (let i = 0; i < 3; i++) {
      await stage.progress(20 + stage.random.upTo(60))
      await redis.kill()
      await redis.start()
    }
    await stage.progress(20)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('Redis is restarted in a silence: everybody is told, once', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  await redis.kill()
  await redis.start()
  await stage.told(t, /expired/)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

// Nothing is lost by these: who stays is told nothing, who comes back is told as always.
const lossless: Record<string, (redis: RedisServer) => Promise<unknown>> = {
  'clients come and go': async () => {},
  'FLUSHALL: nothing is kept that could be missed': async ({ admin }) => await admin.flushall(),
  'NOSCRIPT: Redis forgets the scripts': async ({ admin }) => await admin.script('FLUSH'),
  'BUSY: somebody else\'s script runs for long': async ({ admin }) => await admin.eval("local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end", 0),
  'Redis stops for less than a link may be silent': async (redis) => {
    redis.pause()
    await sleep(500)
    redis.resume()
  }
}

for (const [name, trouble] of Object.entries(lossless)) {
  test(`${name}, in the middle of traffic`, { timeout: 60_000 }, async (t) => {
    const redis = await RedisServer.start(t, ['--busy-reply-threshold', '100'])
    const stage = await startWindowless(t, redis)
    await stage.busy(async () => {
      await stage.progress(20 + stage.random.upTo(60))
      await trouble(redis)
      await stage.progress(50)
    })
    await arrives(stage)
    await stage.check(t, { gaps: false })
    t.strictSame(stage.failed.map(({ error }) => error), [])
  })
}

test('OOM: messages with a key are refused, those without one pass, and nobody is told', async (t) => {
  const redis = await RedisServer.start(t, ['--maxmemory-policy', 'noeviction'])
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  await redis.admin.config('SET', 'maxmemory', '1')
  for (const { app } of stage.servers) {
    for (const room of stage.rooms) await t.rejects(app!.rooms.publish(room, 'refused', { idempotencyKey: 'k' }), { code: 'FAN_OUT_ERR_BROKER_AWAY', statusCode: 503, message: /OOM/ })
  }
  t.ok((await stage.publishEverywhere(4)).every(({ error }) => error === undefined))
  await arrives(stage)
  await stage.check(t, { gaps: false })
})

test('READONLY: the primary is demoted, and another is promoted: nothing is acknowledged that only replicas heard', { timeout: 60_000 }, async (t) => {
  const [one, other] = [await RedisServer.start(t), await RedisServer.start(t)]
  const stage = await startWindowless(t, one)
  await arrives(stage)
  await one.admin.call('REPLICAOF', '127.0.0.1', other.port)
  const published = Promise.all(stage.rooms.map(async (room) => await stage.publish(4, { room })))
  await until(async () => /errorstat_READONLY/.test(await one.admin.info('errorstats')))
  stage.each((proxy) => proxy.point(other.port))
  for (const { error } of (await published).flat()) t.equal(error, undefined)
  await stage.told(t, /expired/, { most: 2 })
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('rights to the channels are taken away, and given back: everybody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const [, acl] = /ACL (SETUSER[^`]*)/.exec(readFileSync(new URL('../../docs/brokers/redis-pubsub.md', import.meta.url), 'utf8'))!
  await redis.admin.call('ACL', ...acl!.trim().split(/\s+/))
  const stage = await startWindowless(t, redis, { user: 'fan-out:secret' })
  await arrives(stage)
  await redis.admin.call('ACL', 'SETUSER', 'fan-out', 'resetchannels')
  t.ok((await stage.publishEverywhere(2)).every(({ error }) => /BROKER_AWAY.*Redis refuses/.test(error!)), `refused: ${stage.failed[0]?.error}`)
  await redis.admin.call('ACL', 'SETUSER', 'fan-out', '&fan-out:*')
  await stage.told(t, /expired/, { most: 2 })
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('SIGKILL of one of two servers: its clients go on with the other, and nobody else is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const broker = redis.url.replace('redis:', 'redis+pubsub:')
  const child = await childServer(t, { broker })
  const stage = await Stage.start(t, { servers: [child, { broker }], listeners: 36, judge: judgeWindowless })
  await stage.busy(async () => {
    await stage.progress(100 + stage.random.upTo(100))
    await child.kill()
    await stage.progress(20)
    await stage.moveFrom(child)
    await stage.progress(100)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: false })
})

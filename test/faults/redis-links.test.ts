import { test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { RedisServer } from '../redis-server.js'
import { Stage } from './stage.js'

// In all of these nothing is lost, so nobody is told anything; and all heal with no further message.

test('Pub/Sub connections killed in the middle of traffic, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  const stop = stage.traffic()
  await sleep(300)
  for (let i = 0; i < 5; i++) {
    await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await sleep(150)
  }
  await stop()
  await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  stage.check(t, { gaps: false })
  t.equal(stage.refused.length, 0)
})

test('the last message is dropped on a healthy connection, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  await stage.publish(5)
  await stage.healed()
  stage.each((proxy) => proxy.drop(1))
  await stage.publish(1)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  stage.check(t, { gaps: false })
})

test('a reply is lost after its command was carried out', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy.loseReply(/\d+-\d+/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, server)])
      t.equal(outcome!.error, undefined)
    }
  }
  await stage.healed()
  stage.check(t, { gaps: false })
  t.equal(await redis.admin.xlen((await redis.admin.keys(`*${stage.room}*:s`))[0]!), 10)
})

test('links break in the middle of traffic, over and over', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  const stop = stage.traffic()
  for (let i = 0; i < 10; i++) {
    await sleep(100)
    stage.servers[i % 2]!.proxy.cut(i % 3 === 0 ? 'all' : i % 3 === 1 ? 'commands' : 'live')
  }
  await stop()
  await stage.healed()
  stage.check(t, { gaps: false })
  t.equal(stage.refused.length, 0)
})

test('a half-open link: no bytes, no close, for 10 s', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  const stop = stage.traffic(50)
  await sleep(300)
  stage.each((proxy) => proxy.stall())
  const [outcome] = await stage.publish(1)
  t.match(outcome!.error, /BROKER_AWAY/)
  t.ok(outcome!.took < 5_500, `refused after ${Math.round(outcome!.took)} ms`)
  await sleep(10_000 - outcome!.took)
  stage.each((proxy) => proxy.flow())
  const flowing = performance.now()
  await sleep(1_000)
  await stop()
  await stage.healed()
  t.comment(`healed in ${Math.round(performance.now() - flowing)} ms`)
  stage.check(t, { gaps: false })
})

test('the live link alone falls silent', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  await stage.publish(2)
  stage.each((proxy) => proxy.stall('live'))
  await stage.publish(2)
  t.comment(`healed in ${Math.round(await stage.healed(7_000))} ms`)
  stage.check(t, { gaps: false })
})

import { test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { behindProxies, cutOffs } from './servers.js'
import { BUSY, Stage } from './stage.js'

// In all of these nothing is lost, so nobody is told anything; and all heal with no further message.

test('Pub/Sub connections killed in the middle of traffic, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  const kill = async (): Promise<void> => { t.ok(Number(await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')) > 0) }
  await stage.busy(async () => {
    for (let i = 0; i < 5; i++) {
      await stage.progress(stage.random.upTo(40))
      await until(async () => String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).length > 0)
      await kill()
    }
  })
  await until(async () => String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).length > 0)
  for (const room of stage.rooms) void stage.publish(3, { room })
  await kill()
  await stage.progress(1)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('the last message is dropped on a healthy connection, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  stage.each((proxy) => proxy.drop(stage.rooms.length))
  for (const room of stage.rooms) await stage.publish(1, { room })
  t.ok(stage.verdict().losses.length > 0, 'it was dropped')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('a reply is lost after its command was carried out', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), rooms: 1 })
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy!.loseReply(/\d+-\d+/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, { server })])
      t.equal(outcome!.error, undefined)
    }
  }
  await stage.healed()
  await stage.check(t, { gaps: false })
  t.equal(await redis.admin.xlen(`fan-out:1:{${stage.room}}:s`), 10)
})

test('links break in the middle of traffic, over and over', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { servers: 3 }), listeners: 36 })
  await stage.busy(async () => {
    for (let i = 0; i < 15; i++) {
      await stage.progress(stage.random.upTo(15))
      stage.pick(stage.servers).proxy!.cut(stage.pick(['all', 'commands', 'live']))
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('a half-open link: no bytes, no close, for 10 s', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  await stage.busy(async () => {
    await stage.progress(50)
    stage.each((proxy) => proxy.stall())
    const stalled = performance.now()
    const [outcome] = await stage.publish(1)
    t.match(outcome!.error, /BROKER_AWAY/)
    t.ok(outcome!.took < 5_000 + BUSY, `refused after ${Math.round(outcome!.took)} ms`)
    await sleep(10_000 - (performance.now() - stalled))
    stage.each((proxy) => proxy.flow())
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('a half-open link in a silence: what was missed comes within 5 s of its flowing', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  const [cut, other] = stage.servers
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  cut!.proxy!.stall()
  const stalled = performance.now()
  for (const room of stage.rooms) await stage.publish(5, { room, server: other! })
  await sleep(10_000 - (performance.now() - stalled))
  t.ok(stage.verdict().losses.length > 0, 'nothing came')
  cut!.proxy!.flow()
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('links that died without a close are given up for new ones', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  const [cut, other] = stage.servers
  for (const which of ['live', 'commands'] as const) cut!.proxy!.stall(which)
  for (const room of stage.rooms) await stage.publish(5, { room, server: other! })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  const [outcome] = await stage.publish(1, { server: cut! })
  t.equal(outcome!.error, undefined)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('the live link alone falls silent', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(2, { room })
  await stage.healed()
  stage.each((proxy) => proxy.stall('live'))
  for (const room of stage.rooms) await stage.publish(2, { room })
  // By the comparison of quiet rooms, or by the silence of the link: nothing of Redis was away.
  t.comment(`healed in ${Math.round(await stage.healed(5_000))} ms`)
  await stage.check(t, { gaps: false })
})

test('a server that does not keep up is cut off by Redis', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--client-output-buffer-limit', 'pubsub', '4mb', '4mb', '0'])
  const history = { size: 10_000, bytes: 256 * 1024 * 1024 }
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { options: { history } }), rooms: 1, listeners: 12 })
  await stage.publish(4)
  await stage.healed()
  const cutOff = await cutOffs(redis)
  stage.servers[0]!.proxy!.stall('live')
  // What the kernels buffer comes before what Redis does.
  for (let i = 0; i < 100 && await cutOff() === 0; i++) await stage.publish(10, { server: stage.servers[1], filling: ' '.repeat(50_000) })
  t.equal(await cutOff(), 1, `cut off after ${stage.outcomes.length} messages`)
  stage.servers[0]!.proxy!.flow()
  // Megabytes for each listener, in this process: it is as fast as the machine.
  t.comment(`healed in ${Math.round(await stage.healed(20_000))} ms`)
  await stage.check(t, { gaps: false })
})

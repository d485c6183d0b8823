import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { cutOffs } from './servers.js'
import { BUSY } from './stage.js'
import { arrives, startWindowless } from './windowless.js'

// Nothing is kept here, so what is lost stays lost: a gap has to stand where it would be.

test('the Pub/Sub connection of one server is killed in a silence: its clients are told once, the others are not, and it goes on', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  const [cut, other] = stage.servers
  const [its, others] = [cut, other].map((server) => stage.listeners.filter(({ place }) => place === server))
  cut!.proxy!.cut('live')
  await until(() => its!.every(({ gaps }) => gaps.length > 0), 'a gap, with no message to wake anybody')
  await arrives(stage)
  t.ok(its!.every(({ gaps }) => gaps.length === 1), `one gap each: ${stage.state()}`)
  t.ok(others!.every(({ gaps }) => gaps.length === 0), stage.state())
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

test('Pub/Sub connections are killed in the middle of traffic, over and over, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis, { servers: 3, listeners: 36 })
  const kill = async (): Promise<number> => Number(await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
  await stage.busy(async () => {
    for (let i = 0; i < 5; i++) {
      await stage.progress(stage.random.upTo(40))
      await until(async () => await kill() > 0)
    }
  })
  for (const room of stage.rooms) void stage.publish(3, { room })
  await until(async () => await kill() > 0)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

test('messages are dropped on healthy connections, the first of a server as well: a gap comes before the next', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  // So soon after joining nobody could tell.
  const joined = performance.now()
  await until(() => performance.now() - joined > 150, 'the rooms to be settled')
  for (let i = 0; i < 5; i++) {
    for (const room of stage.rooms) {
      stage.each((proxy) => proxy.drop(1))
      await stage.publish(2, { room })
      await stage.publish(2, { room })
    }
  }
  await arrives(stage)
  t.ok(stage.listeners.every(({ gaps }) => gaps.length > 0), `all were told: ${stage.state()}`)
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

test('the last message is dropped, then silence: a gap within a heartbeat or so', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  const told = new Set<string>()
  // What was dropped may have been a count instead.
  await until(async () => {
    const room = stage.pick(stage.rooms.filter((room) => !told.has(room)))
    stage.each((proxy) => proxy.drop(1))
    await stage.publish(1, { room })
    t.comment(`the message, or a gap, after ${Math.round(await stage.healed(3_000))} ms`)
    if (stage.listeners.some((listener) => listener.room === room && listener.gaps.length > 0)) told.add(room)
    return told.size === stage.rooms.length
  }, 'a last message of each room to be dropped', 30_000)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('links break in the middle of traffic, over and over', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis, { servers: 3, listeners: 36 })
  await stage.busy(async () => {
    for (let i = 0; i < 15; i++) {
      await stage.progress(stage.random.upTo(15))
      stage.pick(stage.servers).proxy!.cut(stage.pick(['all', 'commands', 'live']))
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

test('a reply is lost after its message was published: it is not published twice, and nobody is told anything', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy!.loseReply(/^\*1\r\n\$0\r\n/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, { server, room: stage.pick(stage.rooms) })])
      t.equal(outcome!.error, undefined)
    }
  }
  await arrives(stage)
  await stage.check(t, { gaps: false })
})

test('half-open links: no bytes, no close, until publishes are given up', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  const stop = stage.traffic()
  await stage.progress(50)
  stage.each((proxy) => proxy.stall())
  const [outcome] = await stage.publish(1)
  t.match(outcome!.error, /BROKER_AWAY/)
  t.ok(outcome!.took < 5_000 + BUSY, `refused after ${Math.round(outcome!.took)} ms`)
  // What the links still held is published now, or never.
  stage.each((proxy) => proxy.flow())
  await stage.progress(20)
  await stop()
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  t.ok(stage.listeners.every(({ gaps }) => gaps.length > 0), `all were told: ${stage.state()}`)
  await stage.check(t, { gaps: true })
})

test('the live links alone fall silent: one gap each, with no further message', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  stage.each((proxy) => proxy.stall('live'))
  await stage.publishEverywhere(4)
  t.comment(`told in ${Math.round(await stage.healed(8_000))} ms`)
  await stage.told(t, /expired/)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('the links for commands alone fall silent: what is sent again on new ones is heard once, also when the old ones flow again', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  stage.each((proxy) => proxy.stall('commands'))
  const outcomes = await Promise.all(stage.rooms.map(async (room) => await stage.publish(4, { room })))
  t.ok(outcomes.flat().every(({ error }) => error === undefined), 'published on new links')
  stage.each((proxy) => proxy.flow())
  await arrives(stage)
  await stage.check(t, { gaps: false })
})

test('a publish that was given up leaves its number behind: a gap for all', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await startWindowless(t, redis)
  await arrives(stage)
  const [away] = stage.servers
  away!.proxy!.stall()
  const outcomes = await Promise.all(stage.rooms.map(async (room) => await stage.publish(1, { room, server: away })))
  t.ok(outcomes.flat().every(({ error }) => /BROKER_AWAY/.test(error!)))
  // Whatever the links held is gone.
  away!.proxy!.cut()
  away!.proxy!.flow()
  await until(() => stage.listeners.every(({ gaps }) => gaps.length > 0), `all to be told: ${stage.state()}`, 5_000)
  await arrives(stage)
  t.ok(stage.listeners.every(({ place, gaps }) => place === away || gaps.length === 1), `one gap each, where no link broke: ${stage.state()}`)
  await stage.check(t, { gaps: true })
})

test('a server that does not keep up is cut off by Redis: its clients are told, the others are not', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--client-output-buffer-limit', 'pubsub', '4mb', '4mb', '0'])
  const stage = await startWindowless(t, redis, { rooms: 1, listeners: 12 })
  await arrives(stage)
  const [slow, other] = stage.servers
  const cutOff = await cutOffs(redis)
  slow!.proxy!.stall('live')
  // What the kernels buffer comes before what Redis does.
  for (let i = 0; i < 100 && await cutOff() === 0; i++) await stage.publish(10, { server: other, filling: ' '.repeat(50_000) })
  t.equal(await cutOff(), 1, `cut off after ${stage.outcomes.length} messages`)
  slow!.proxy!.flow()
  // Megabytes for each listener, in this process: it is as fast as the machine.
  t.comment(`healed in ${Math.round(await stage.healed(20_000))} ms`)
  await arrives(stage)
  t.ok(stage.listeners.every(({ place, gaps }) => (place === slow) === (gaps.length > 0)), stage.state())
  await stage.check(t, { gaps: true })
})

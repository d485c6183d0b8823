import { test } from 'tap'
import { until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'
import { BUSY } from './stage.js'
import { arrives, startWindowless } from './windowless.js'

// As redis-pubsub-links.test.ts, where one link carries everything.

test('the link of one server breaks in a silence: its clients are told once, the others are not, and it goes on', async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t))
  await arrives(stage)
  const [cut, other] = stage.servers
  const [its, others] = [cut, other].map((server) => stage.listeners.filter(({ place }) => place === server))
  cut!.proxy!.cut()
  await until(() => its!.every(({ gaps }) => gaps.length > 0), 'a gap, with no message to wake anybody')
  await arrives(stage)
  t.ok(its!.every(({ gaps }) => gaps.length === 1), `one gap each: ${stage.state()}`)
  t.ok(others!.every(({ gaps }) => gaps.length === 0), stage.state())
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

test('links break in the middle of traffic, over and over, then silence', async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t), { servers: 3, listeners: 36 })
  await stage.busy(async () => {
    for (let i = 0; i < 15; i++) {
      await stage.progress(stage.random.upTo(15))
      stage.pick(stage.servers).proxy!.cut()
    }
  })
  for (const room of stage.rooms) void stage.publish(3, { room })
  stage.each((proxy) => proxy.cut())
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('messages are dropped on healthy links, the first of a server as well: a gap comes before the next', async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t))
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
  const stage = await startWindowless(t, await NatsServer.start(t))
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

test('a link breaks before it is known that NATS has the message: it is heard once', async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t))
  await arrives(stage)
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy!.loseReply(/^PONG/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, { server, room: stage.pick(stage.rooms) })])
      t.equal(outcome!.error, undefined)
    }
  }
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('half-open links: no bytes, no close, until publishes are given up', { timeout: 60_000 }, async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t))
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

test('links that died without a close are given up for new ones: one gap each, with no further message', { timeout: 60_000 }, async (t) => {
  const stage = await startWindowless(t, await NatsServer.start(t))
  await arrives(stage)
  stage.each((proxy) => proxy.stall('live'))
  const since = performance.now()
  await until(() => stage.listeners.every(({ gaps }) => gaps.length > 0), 'all to be told', 8_000)
  t.comment(`told after ${Math.round(performance.now() - since)} ms`)
  await arrives(stage)
  t.ok(stage.listeners.every(({ gaps }) => gaps.length === 1), `one gap each: ${stage.state()}`)
  // What the old links held comes to nobody any more.
  stage.each((proxy) => proxy.flow())
  await arrives(stage)
  await stage.check(t, { gaps: true })
  t.ok(stage.listeners.every(({ gaps }) => gaps.length === 1), `one gap each: ${stage.state()}`)
})

for (const program of ['nats', 'nats-current'] as const) {
  test(`a server that does not keep up is cut off by ${program}: its clients are told, the others are not`, { timeout: 60_000 }, async (t) => {
    const nats = await NatsServer.start(t, { program, config: 'max_pending: 4MB\nwrite_deadline: "500ms"' })
    const stage = await startWindowless(t, nats, { rooms: 1, listeners: 12 })
    await arrives(stage)
    const [slow, other] = stage.servers
    const cutOff = async (): Promise<number> => (await nats.ask('/varz')).slow_consumers
    slow!.proxy!.stall('live')
    // What the kernels buffer comes before what NATS does.
    for (let i = 0; i < 100 && await cutOff() === 0; i++) await stage.publish(10, { server: other, filling: ' '.repeat(50_000) })
    t.ok(await cutOff() > 0, `cut off after ${stage.outcomes.length} messages`)
    slow!.proxy!.flow()
    // Megabytes for each listener, in this process: it is as fast as the machine.
    t.comment(`healed in ${Math.round(await stage.healed(20_000))} ms`)
    await arrives(stage)
    t.ok(stage.listeners.every(({ place, gaps }) => (place === slow) === (gaps.length > 0)), stage.state())
    await stage.check(t, { gaps: true })
  })
}

import type { Outcome } from './oracle.js'
import type { StageServer } from './servers.js'
import type { Stage } from './stage.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { infoOf, PROGRAMS, startJetStream, startOnJetStream } from './jetstream-stage.js'
import { BUSY } from './stage.js'

// As redis-links.test.ts, where one link carries everything: nothing is lost, so nobody is told anything, and all heal with no further message.

async function begin (stage: Stage): Promise<void> {
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
}

for (const program of PROGRAMS) {
  test(`links to ${program} break in the middle of traffic, over and over, then silence`, async (t) => {
    const stage = await startOnJetStream(t, await startJetStream(t, { program }), { servers: 3, listeners: 36 })
    await stage.busy(async () => {
      for (let i = 0; i < 15; i++) {
        await stage.progress(stage.random.upTo(15))
        stage.pick(stage.servers).proxy!.cut()
      }
    })
    for (const room of stage.rooms) void stage.publish(3, { room })
    stage.each((proxy) => proxy.cut())
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    await stage.check(t, { gaps: false })
    t.equal(stage.failed.length, 0)
  })
}

test('messages are dropped on healthy links in the middle of traffic', async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t))
  await stage.busy(async () => {
    for (let i = 0; i < 10; i++) {
      await stage.progress(stage.random.upTo(20))
      stage.pick(stage.servers).proxy!.drop(1 + stage.random.upTo(10))
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('the last message is dropped on a healthy link, then silence', async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t))
  await begin(stage)
  stage.each((proxy) => proxy.drop(stage.rooms.length))
  for (const room of stage.rooms) await stage.publish(1, { room })
  t.ok(stage.verdict().losses.length > 0, 'it was dropped')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('live messages alone do not come any more', async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t))
  await begin(stage)
  stage.each((proxy) => proxy.drop(Infinity))
  for (const room of stage.rooms) await stage.publish(2, { room })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('an acknowledgement is lost, and asked for again: the message is there once', async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { rooms: 1 })
  await begin(stage)
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy!.loseReply(/"seq": ?\d/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, { server })])
      t.equal(outcome!.error, undefined)
    }
  }
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('an acknowledgement is lost, and cannot be asked for until the duplicate window is over: the message is there once, and who published it does not hear that it is there twice', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { rooms: 1, options: { idempotencyTtl: 300 } })
  await begin(stage)
  const { config: { duplicate_window: window } } = await infoOf(nats)
  for (const { proxy } of stage.servers) {
    const lost = proxy!.loseReply(/"seq": ?\d/).then(() => proxy!.refuse(true))
    const published = stage.publish(1, { server: stage.servers.find((server) => server.proxy === proxy) })
    await lost
    await sleep(window / 1e6 + 500)
    proxy!.refuse(false)
    const [outcome] = await published
    t.comment(`${outcome!.result}: ${outcome!.error ?? outcome!.id} after ${Math.round(outcome!.took)} ms`)
    t.ok(outcome!.took < 5_000 + BUSY)
  }
  await stage.publish(4)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('half-open links: no bytes, no close, until publishes are given up', { timeout: 60_000 }, async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t))
  await stage.busy(async () => {
    await stage.progress(50)
    stage.each((proxy) => proxy.stall())
    const [outcome] = await stage.publish(1)
    t.match(outcome!.error, /BROKER_AWAY/)
    t.ok(outcome!.took < 5_000 + BUSY, `refused after ${Math.round(outcome!.took)} ms`)
    stage.each((proxy) => proxy.flow())
    await stage.progress(20)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('links that died without a close are given up for new ones', { timeout: 60_000 }, async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t))
  await begin(stage)
  const [cut, other] = stage.servers
  cut!.proxy!.stall('live')
  for (const room of stage.rooms) await stage.publish(5, { room, server: other! })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  const [outcome] = await stage.publish(1, { server: cut! })
  t.equal(outcome!.error, undefined)
  // What the old links held comes to nobody any more.
  cut!.proxy!.flow()
  await stage.healed()
  await stage.check(t, { gaps: false })
})

/** The next part of an answer with this message gets lost. */
async function losePart ({ proxy }: StageServer, { text }: Outcome): Promise<void> {
  await proxy!.holdReply(new RegExp(`"${text}"\\r\\n$`))
}

for (const program of PROGRAMS) {
  test(`a window is read from ${program}, and comes without one of its messages: that is read in another way`, async (t) => {
    const stage = await startOnJetStream(t, await startJetStream(t, { program }), { rooms: 1, listeners: 0 })
    const [one, other] = stage.servers
    // Stored one by one: the first parts, and some that come later.
    for (let i = 0; i < 40; i++) await stage.publish(1, { server: other! })
    for (const lost of [1, 20]) {
      const [{ messages }] = await Promise.all([one!.app!.rooms.history(stage.room, { limit: 100 }), losePart(one!, stage.outcomes[lost]!)])
      t.strictSame(messages.map(({ id }) => id), stage.outcomes.map(({ id }) => id))
    }
  })
}

test('many rooms are joined at once, and the answer comes without one of them: they are asked for in another way', async (t) => {
  const stage = await startOnJetStream(t, await startJetStream(t), { rooms: 30, listeners: 0 })
  const [one, other] = stage.servers
  await stage.publishEverywhere(1, other)
  const [subscriptions] = await Promise.all([
    Promise.all(stage.rooms.map(async (room) => await one!.app!.rooms.subscribe(room, () => {}))),
    losePart(one!, stage.outcomes[7]!)
  ])
  t.strictSame(subscriptions.map(({ id }) => id), stage.outcomes.map(({ id }) => id))
})

for (const program of PROGRAMS) {
  test(`a server that does not keep up is cut off by ${program}`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t, { program, config: 'max_pending: 4MB\nwrite_deadline: "500ms"' })
    const history = { size: 10_000, bytes: 256 * 1024 * 1024 }
    const stage = await startOnJetStream(t, nats, { options: { history }, rooms: 1, listeners: 12 })
    await stage.publish(4)
    await stage.healed()
    const cutOff = async (): Promise<number> => (await nats.ask('/varz')).slow_consumers
    stage.servers[0]!.proxy!.stall('live')
    // What the kernels buffer comes before what NATS does.
    for (let i = 0; i < 100 && await cutOff() === 0; i++) await stage.publish(10, { server: stage.servers[1], filling: ' '.repeat(50_000) })
    t.ok(await cutOff() > 0, `cut off after ${stage.outcomes.length} messages`)
    stage.servers[0]!.proxy!.flow()
    // Megabytes for each listener, in this process: it is as fast as the machine.
    t.comment(`healed in ${Math.round(await stage.healed(20_000))} ms`)
    await stage.check(t, { gaps: false })
  })
}

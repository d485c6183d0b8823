import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { childServer } from './child.js'
import { PROGRAMS, startJetStream, startOnJetStream, urlOf } from './jetstream-stage.js'
import { behindProxies } from './servers.js'
import { BUSY, Stage } from './stage.js'

// NATS goes and comes back with all that it had, and servers go: nothing is lost, so nobody is told anything. For links see jetstream-links.test.ts.

for (const program of PROGRAMS) {
  test(`two servers and 40 clients: connections cut, ${program} killed and restarted, one server killed`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t, { program })
    const child = await childServer(t, { broker: urlOf(nats) })
    const stage = await Stage.start(t, { servers: [child, ...await behindProxies(t, nats.port, { scheme: 'nats+jetstream', servers: 1 })], listeners: 40 })
    await stage.busy(async () => {
      for (let i = 0; i < 3; i++) {
        await stage.progress(20 + stage.random.upTo(40))
        stage.each((proxy) => proxy.cut())
      }
      for (let i = 0; i < 2; i++) {
        await stage.progress(20 + stage.random.upTo(40))
        await nats.kill()
        await sleep(stage.random.upTo(300))
        await nats.start()
      }
      await stage.progress(20)
      await child.kill()
      await stage.progress(20)
      await stage.moveFrom(child)
      await stage.progress(50)
    })
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    await stage.check(t, { gaps: false })
  })

  test(`${program} is killed and restarted in a silence: the clients are not told, and what was missed comes`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t, { program })
    const stage = await startOnJetStream(t, nats)
    for (const room of stage.rooms) await stage.publish(3, { room })
    await stage.healed()
    stage.each((proxy) => proxy.drop(stage.rooms.length))
    for (const room of stage.rooms) await stage.publish(1, { room })
    await nats.kill()
    t.ok(stage.verdict().losses.length > 0, 'the last were dropped')
    await nats.start()
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    await stage.check(t, { gaps: false })
  })
}

test('NATS is away for longer than a client of NATS tries by itself: publishes are refused in time, and all is repaired when it is back', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats)
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  stage.each((proxy) => proxy.drop(1))
  await stage.publish(1)
  stage.each((proxy) => proxy.refuse(true))
  const refused = (await Promise.all(stage.rooms.map(async (room) => await stage.publish(2, { room })))).flat()
  t.ok(refused.every(({ error, took }) => /BROKER_AWAY/.test(error!) && took < 5_000 + BUSY), `refused: ${refused[0]!.error}`)
  await until(() => stage.servers.every(({ proxy }) => proxy!.refused > 12), 'more tries than 10', 30_000)
  stage.each((proxy) => proxy.refuse(false))
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  t.ok(stage.listeners.every(({ cuts }) => cuts === 0), 'all stayed connected')
  await until(async () => (await stage.publish(1))[0]!.error === undefined)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('NATS stops, and goes on, in the middle of traffic', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats)
  await stage.busy(async () => {
    for (const longest of [1_000, 4_000]) {
      await stage.progress(20 + stage.random.upTo(40))
      nats.pause()
      await sleep(stage.random.upTo(longest))
      nats.resume()
    }
    await stage.progress(20)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('SIGKILL of a server in a silence: what it was the last to publish is nowhere missing', { timeout: 60_000 }, async (t) => {
  const broker = urlOf(await startJetStream(t))
  const child = await childServer(t, { broker })
  const stage = await Stage.start(t, { servers: [child, { broker }] })
  const publishes = stage.rooms.map(async (room) => await stage.publish(50, { room, server: child }))
  const some = stage.random.upTo(60)
  await until(() => stage.acknowledged.length > some)
  await child.kill()
  await Promise.all(publishes)
  t.comment(`${stage.acknowledged.length} acknowledged, ${stage.failed.length} unknown`)
  await stage.moveFrom(child)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'
import { childServer } from './child.js'
import { BUSY, Stage } from './stage.js'
import { arrives, judgeWindowless, startWindowless } from './windowless.js'

// Core NATS keeps nothing, so what is lost stays lost: a gap has to stand where it would be. For its links see nats-links.test.ts.

for (const program of ['nats', 'nats-current'] as const) {
  test(`${program} is killed and restarted in the middle of traffic, over and over`, { timeout: 60_000 }, async (t) => {
    const nats = await NatsServer.start(t, { program })
    const stage = await startWindowless(t, nats, { servers: 3, listeners: 36 })
    await stage.busy(async () => {
      for (let i = 0; i < 3; i++) {
        await stage.progress(20 + stage.random.upTo(60))
        await nats.kill()
        await nats.start()
      }
      await stage.progress(20)
    })
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    await arrives(stage)
    await stage.check(t, { gaps: true })
  })
}

test('NATS is restarted in a silence: everybody is told, once', { timeout: 60_000 }, async (t) => {
  const nats = await NatsServer.start(t)
  const stage = await startWindowless(t, nats)
  await arrives(stage)
  await nats.kill()
  await nats.start()
  await stage.told(t, /expired/)
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('NATS is away for longer than a client of NATS tries by itself: publishes are refused in time, and all goes on when it is back', { timeout: 60_000 }, async (t) => {
  const nats = await NatsServer.start(t)
  const stage = await startWindowless(t, nats)
  await arrives(stage)
  stage.each((proxy) => proxy.refuse(true))
  const refused = (await Promise.all(stage.rooms.map(async (room) => await stage.publish(2, { room })))).flat()
  t.ok(refused.every(({ error, took }) => /BROKER_AWAY/.test(error!) && took < 5_000 + BUSY), `refused: ${refused[0]!.error}`)
  await until(() => stage.servers.every(({ proxy }) => proxy!.refused > 12), 'more tries than 10', 30_000)
  stage.each((proxy) => proxy.refuse(false))
  const back = performance.now()
  await stage.told(t, /expired/)
  await arrives(stage)
  t.comment(`whole ${Math.round(performance.now() - back)} ms after it was back`)
  t.ok(stage.listeners.every(({ cuts }) => cuts === 0), 'all stayed connected')
  await stage.check(t, { gaps: true })
})

// Nothing is lost by these: who stays is told nothing, who comes back is told as always.
const lossless: Record<string, (nats: NatsServer) => Promise<unknown>> = {
  'clients come and go': async () => {},
  'NATS reads its configuration again': async (nats) => await nats.reconfigure('max_payload: 2MB'),
  'NATS stops for less than a link may be silent': async (nats) => {
    nats.pause()
    await sleep(500)
    nats.resume()
  }
}

for (const [name, trouble] of Object.entries(lossless)) {
  test(`${name}, in the middle of traffic`, { timeout: 60_000 }, async (t) => {
    const nats = await NatsServer.start(t)
    const stage = await startWindowless(t, nats)
    await stage.busy(async () => {
      await stage.progress(20 + stage.random.upTo(60))
      await trouble(nats)
      await stage.progress(50)
    })
    await arrives(stage)
    await stage.check(t, { gaps: false })
    t.strictSame(stage.failed.map(({ error }) => error), [])
  })
}

test('rights are taken away, and given back: everybody is told', { timeout: 60_000 }, async (t) => {
  const users = (permissions: string): string => `authorization { users: [ { user: fan-out, password: secret, permissions: { ${permissions} } } ] }`
  const all = users('publish: ">", subscribe: ">"')
  const nats = await NatsServer.start(t, { config: all })
  const stage = await startWindowless(t, nats, { user: 'fan-out:secret' })
  await arrives(stage)
  await nats.reconfigure(users('publish: "_INBOX.>", subscribe: "_INBOX.>"'))
  t.ok((await stage.publishEverywhere(2)).every(({ error }) => /BROKER_AWAY/.test(error!)), `refused: ${stage.failed[0]?.error}`)
  await nats.reconfigure(all)
  await stage.told(t, /expired/, { most: 2 })
  await arrives(stage)
  await stage.check(t, { gaps: true })
})

test('SIGKILL of one of two servers: its clients go on with the other, and nobody else is told', { timeout: 60_000 }, async (t) => {
  const { url: broker } = await NatsServer.start(t)
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

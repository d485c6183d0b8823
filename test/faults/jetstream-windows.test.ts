import { jetstreamManager } from '@nats-io/jetstream'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { infoOf, startJetStream, startOnJetStream, STREAM } from './jetstream-stage.js'

// Windows move on: nobody misses a message untold, and who has them all is told nothing.

test('a small window moves on while it is read, by those who come back: nothing is missing untold', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { options: { history: { size: 20 } } })
  await stage.busy(async () => {
    for (let i = 0; i < 20; i++) {
      await stage.publish(60, { room: stage.pick(stage.rooms) })
      stage.pick(stage.servers).proxy!.cut()
    }
  })
  await stage.healed()
  await stage.check(t, { gaps: true })
})

test('messages grow too old while nothing is published: who has them all is told nothing, whether it stayed or comes back', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const history = { size: 100, maxAge: 1_000 }
  const stage = await startOnJetStream(t, nats, { options: { history, linger: 100 } })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await sleep(2_500)
  for (const listener of stage.listeners.slice(0, 12)) {
    await listener.leave()
    listener.come(stage.pick(stage.servers))
  }
  await stage.settled()
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('the stream of an operator drops what is too old while nothing is published: who stays is told nothing, and who comes back is told if it cannot be known', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const { streams } = await jetstreamManager(await nats.admin())
  // Quiet rooms are compared, and records of the stream written, about every 3 s; and a tenth of it is what a message may take from NATS to a server that is busy.
  const age = 12_000
  await streams.add({
    name: STREAM,
    subjects: [`${STREAM}.room.*`],
    republish: { src: `${STREAM}.room.*`, dest: `${STREAM}.live.{{wildcard(1)}}` },
    max_age: age * 1e6,
    duplicate_window: 1_000 * 1e6
  })
  const stage = await startOnJetStream(t, nats, { options: { history: { size: 100, maxAge: age }, idempotencyTtl: 1_000, linger: 100 } })
  const [back] = stage.listeners
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await back!.leave()
  await until(async () => (await infoOf(nats)).state.messages < 5, 'the messages to go', 2 * age)
  back!.come(stage.pick(stage.servers))
  await stage.settled()
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  t.ok(stage.listeners.every((listener) => listener === back || listener.gaps.length === 0), stage.state())
  t.ok(back!.gaps.every(({ reason }) => reason === 'expired'), stage.state())
  await stage.check(t, { gaps: true })
})

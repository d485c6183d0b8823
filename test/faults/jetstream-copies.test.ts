import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { NatsServer } from '../nats-server.js'
import type { Outcome } from './oracle.js'
import type { Stage } from './stage.js'
import { test } from 'tap'
import { newRoom, until } from '../helpers.js'
import { infoOf, lossesOf, PROGRAMS, startJetStream, startOnJetStream, urlOf } from './jetstream-stage.js'
import { stageServer } from './servers.js'

// NATS is started with an older copy of what it had acknowledged: sequences are given again, and whoever had others under them is told.

/** It is killed, as if with its machine, and `begin` does what is to be done before it is back with a copy of before. */
async function restore (nats: NatsServer, copy: string, begin = (): void => {}): Promise<void> {
  await nats.kill()
  begin()
  await nats.restoreStore(copy)
  await nats.start()
}

/** Servers, a window in every room that everybody has, and a copy of it. */
async function stand (t: Test, program: typeof PROGRAMS[number] = 'nats-current', options: FanOutOptions = {}): Promise<{ nats: NatsServer, stage: Stage, copy: string }> {
  const nats = await startJetStream(t, { program })
  const stage = await startOnJetStream(t, nats, { options })
  await stage.publishEverywhere(10)
  await stage.healed()
  return { nats, stage, copy: await nats.copyStore() }
}

for (const program of PROGRAMS) {
  test(`an older copy is restored, ${program}: everybody is told`, { timeout: 60_000 }, async (t) => {
    const { nats, stage, copy } = await stand(t, program)
    await stage.publishEverywhere(4)
    await stage.healed()
    await restore(nats, copy)
    await stage.told(t, /forked/, { most: 2 })
    await stage.check(t, { gaps: true })
  })

  test(`an older copy is restored in the middle of traffic, ${program}: sequences stand for other messages, and whoever had them is told`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t, { program })
    const stage = await startOnJetStream(t, nats, { servers: 3 })
    const among = [...stage.listeners]
    await stage.busy(async () => {
      await stage.progress(20 + stage.random.upTo(50))
      const copy = await nats.copyStore()
      await stage.progress(20 + stage.random.upTo(50))
      await restore(nats, copy)
      await stage.progress(100)
    })
    await stage.told(t, /epoch|forked/, { most: 3, among })
    await stage.check(t, { gaps: true })
  })
}

test('an older copy is restored, and a server that knows nothing of it publishes as much again before the others come back', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy } = await stand(t)
  await stage.publishEverywhere(4)
  await stage.healed()
  const { state: { last_seq: before } } = await infoOf(nats)
  await restore(nats, copy, () => stage.each((proxy) => proxy.refuse(true)))
  const another = await stageServer(t, { broker: urlOf(nats) })
  stage.servers.push(another)
  for (let i = 0; i < 8; i++) await stage.publishEverywhere(1, another)
  t.ok((await infoOf(nats)).state.last_seq > before, 'sequences are used again')
  stage.each((proxy) => proxy.refuse(false))
  await stage.told(t, /epoch|forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

test('a record of the loss stands where a message stood that was lost: who had that message is told', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy } = await stand(t)
  // One sequence each: of one of them the record will stand.
  await stage.publishEverywhere(1)
  await stage.healed()
  await restore(nats, copy)
  await stage.told(t, /forked/)
  await stage.check(t, { gaps: true })
})

test('older copies are restored twice, and a server did not see the stream between them: no id is given again', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy: first } = await stand(t)
  const [one, other] = stage.servers
  await stage.publishEverywhere(4)
  await stage.healed()
  await restore(nats, first, () => other!.proxy!.refuse(true))
  await stage.publishEverywhere(4, one!)
  const second = await nats.copyStore()
  for (let i = 0; i < 8; i++) await stage.publishEverywhere(1, one!)
  await restore(nats, second, () => {
    one!.proxy!.refuse(true)
    other!.proxy!.refuse(false)
  })
  for (let i = 0; i < 8; i++) await stage.publishEverywhere(1, other!)
  one!.proxy!.refuse(false)
  await stage.told(t, /epoch|forked/, { most: 3 })
  await stage.check(t, { gaps: true })
})

test('an older copy is restored while a server holds another one against what it saw: what it had read of that is not taken for what is there', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy: first } = await stand(t)
  const [one, other] = stage.servers
  await stage.publishEverywhere(4)
  const second = await nats.copyStore()
  await stage.publishEverywhere(4)
  await stage.healed()
  let interrupted: Promise<void> | undefined
  await restore(nats, second, () => {
    other!.proxy!.refuse(true)
    interrupted = one!.proxy!.loseReply(/~lineage/).then(() => one!.proxy!.refuse(true))
  })
  await interrupted
  await restore(nats, first, () => one!.proxy!.refuse(false))
  for (let i = 0; i < 3; i++) await stage.publishEverywhere(1, one!)
  other!.proxy!.refuse(false)
  await stage.told(t, /epoch|forked/, { most: 3 })
  await stage.check(t, { gaps: true })
})

test('only one server had seen what was lost, and another one is first to see the stream again: those who did not have it are told as well', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy } = await stand(t)
  const [one, other] = stage.servers
  other!.proxy!.drop(100)
  await stage.publishEverywhere(1, one!)
  await restore(nats, copy, () => one!.proxy!.refuse(true))
  await stage.publish(1, { server: other! })
  one!.proxy!.refuse(false)
  await stage.told(t, /epoch|forked/, { most: 2 })
  // Now that there is something to hold what was seen against.
  stage.each((proxy) => proxy.cut())
  await stage.publishEverywhere(1)
  await stage.healed()
  t.equal(await lossesOf(nats), 1, 'one loss was written down')
  await stage.check(t, { gaps: true })
})

test('the newest messages were read, and an older copy is restored before that is gone into: the loss is written down once', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy } = await stand(t)
  const [one, other] = stage.servers
  const { proxy, app } = other!
  proxy!.drop(100)
  await stage.publishEverywhere(1, one!)
  // What is above all that was seen live has the stream looked at; who comes meanwhile waits as well.
  const held = proxy!.holdReply(/~lineage/)
  const reads = [app!.rooms.history(stage.rooms[2]!)]
  await held
  reads.push(app!.rooms.history(stage.rooms[1]!))
  await app!.rooms.history(newRoom())
  await restore(nats, copy, () => one!.proxy!.refuse(true))
  await Promise.all(reads)
  for (let i = 0; i < 3; i++) await stage.publishEverywhere(1, other!)
  one!.proxy!.refuse(false)
  await stage.told(t, /epoch|forked/, { most: 2 })
  t.equal(await lossesOf(nats), 1, 'one loss was written down')
  await stage.check(t, { gaps: true })
})

test('a message was stored, came to clients, and is lost, and so was its acknowledgement: it is not stored again', { timeout: 60_000 }, async (t) => {
  const { nats, stage, copy } = await stand(t, 'nats-current', { brokerOptions: { publishTimeout: 20_000 } })
  const [one, other] = stage.servers
  const lost = one!.proxy!.loseReply(/"stream": ?"fan-out", ?"seq":/)
  const published = stage.publish(1, { server: one! })
  await lost
  one!.proxy!.refuse(true)
  await until(() => stage.listeners.some(({ room, texts }) => room === stage.room && texts.length === 11), 'some to have it')
  await restore(nats, copy)
  await until(() => stage.listeners.some(({ gaps }) => gaps.length > 0), 'the other server to tell of the loss')
  one!.proxy!.refuse(false)
  const [{ result, error }] = await published as [Outcome]
  t.equal(result, 'unknown')
  t.match(error, /the stream lost what it had/)
  await stage.publish(1, { server: other! })
  await stage.told(t, /epoch|forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

test('two servers find the same loss, and one of them is still at it when the other has written it down: it is written down once', { timeout: 60_000 }, async (t) => {
  const { nats, stage } = await stand(t)
  const [one, other] = stage.servers
  // What is seen before a look at the stream is remembered, and held against it later.
  for (let i = 0; i < 2; i++) {
    stage.each((proxy) => proxy.cut())
    await stage.publishEverywhere(1)
    await stage.healed()
  }
  const copy = await nats.copyStore()
  await stage.publishEverywhere(4)
  await stage.healed()
  const held = one!.proxy!.holdReply(/stream_msg_get_response.*"subject": ?"fan-out\.room\.room/)
  const heldBack = other!.proxy!.holdReply(/~lineage/)
  await restore(nats, copy)
  const [handOn, handOnRecord] = await Promise.all([held, heldBack])
  handOnRecord()
  await until(() => stage.listeners.every(({ place, gaps }) => place !== other || gaps.length > 0), 'the other server to tell of the loss')
  handOn()
  await stage.told(t, /forked/)
  t.equal(await lossesOf(nats), 1, 'one loss was written down')
  await stage.check(t, { gaps: true })
})

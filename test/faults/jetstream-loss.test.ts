import type { Outcome } from './oracle.js'
import { jetstreamManager } from '@nats-io/jetstream'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { infoOf, lose, startJetStream, startOnJetStream, STREAM, urlOf } from './jetstream-stage.js'
import { stageServer } from './servers.js'

const ACKNOWLEDGEMENT = /"stream": ?"fan-out", ?"seq":/
// A room's newest message was asked for.
const NOTHING_STORED = /"err_code": ?10037/
const END_OF_PAGE = /^NATS\/1\.0 204 EOB/m

// JetStream loses what it acknowledged: whoever is concerned is told.

for (const what of ['stream', 'messages'] as const) {
  const name = what === 'stream' ? 'the stream is deleted' : 'the stream is purged'

  test(`${name} in a silence: everybody is told`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t)
    const stage = await startOnJetStream(t, nats)
    for (const room of stage.rooms) await stage.publish(10, { room })
    await stage.healed()
    await lose(nats, what)
    await stage.told(t, /epoch|forked/)
    await stage.check(t, { gaps: true })
  })

  test(`${name} in the middle of traffic, while clients come and go`, { timeout: 60_000 }, async (t) => {
    const nats = await startJetStream(t)
    const stage = await startOnJetStream(t, nats)
    const among = [...stage.listeners]
    await stage.busy(async () => {
      await stage.progress(30 + stage.random.upTo(50))
      await lose(nats, what)
      await stage.progress(50)
    })
    await stage.told(t, /epoch|forked/, { most: 2, among })
    await stage.check(t, { gaps: true })
  })
}

test('a room is purged: its listeners are told once, though they had all, and so is who comes back; nobody else is', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { listeners: 12, rooms: 2, options: { linger: 100 } })
  const [gone, stayed] = stage.listeners.filter(({ room }) => room === stage.room)
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await gone!.leave()
  await stage.publish(5)
  await until(() => stayed!.texts.length === 10)
  await lose(nats, { room: stage.room })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await until(() => stage.listeners.every((listener) => listener === gone || listener.texts.length === (listener.room === stage.room ? 15 : 10)))
  const history = await stage.servers[0]!.app!.rooms.history(stage.room, { since: stayed!.entries[3]!.id })
  t.equal(history.complete, false)
  t.equal(history.messages.length, 5)
  // No server holds it in its tail any more.
  await Promise.all(stage.listeners.map(async (listener) => await listener.leave()))
  await until(() => stage.servers.every(({ app }) => app!.rooms.stats().rooms === 0))
  for (const listener of stage.listeners) listener.come(stage.pick(stage.servers))
  await stage.settled()
  await until(() => gone!.gaps.length === 1)
  t.equal(gone!.texts.length, 10)
  t.ok(stage.listeners.every(({ room, gaps }) => gaps.length === (room === stage.room ? 1 : 0) && gaps.every(({ reason }) => reason === 'expired')), stage.state())
  await stage.check(t, { gaps: true })
})

test('a room is purged in a silence, of messages that no server had received: its listeners are told, once', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { listeners: 12, rooms: 2 })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  stage.each((proxy) => proxy.drop(3))
  // One by one: what is published at once comes as one.
  for (let i = 0; i < 3; i++) await stage.publish(1)
  t.ok(stage.verdict().losses.length > 0, 'they were dropped')
  await lose(nats, { room: stage.room })
  await until(() => stage.listeners.every(({ room, gaps }) => room !== stage.room || gaps.length === 1), 'everybody to be told', 15_000)
  // Quiet rooms are compared every few seconds: nobody is told again.
  await sleep(7_000)
  for (const room of stage.rooms) await stage.publish(2, { room })
  await stage.healed()
  t.ok(stage.listeners.every(({ room, gaps }) => gaps.length === (room === stage.room ? 1 : 0)), stage.state())
  await stage.check(t, { gaps: true })
})

test('what a client stands at is gone, and the next message follows it in the stream: it is told, once, and served', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const { streams } = await jetstreamManager(await nats.admin())
  const { rooms } = (await stageServer(t, { broker: urlOf(nats) })).app!
  const room = 'quiet'
  const { id: first } = await rooms.publish(room, 1)
  const { id: second } = await rooms.publish(room, 2)
  const { state: { last_seq: last } } = await infoOf(nats)
  await streams.deleteMessage(STREAM, last - 1)
  const heard: string[] = []
  const subscription = await rooms.subscribe(room, { since: first }, ({ type, id }) => { heard.push(`${type} ${id}`) })
  const { id: third } = await rooms.publish(room, 3)
  await until(() => heard.length >= 3, 'all to be heard')
  t.match(heard, [/^gap /, `message ${second}`, `message ${third}`])
  t.equal(heard.length, 3)
  await subscription.close()
})

test('the stream is deleted while an acknowledgement is on its way, and its sequence given again: the message gets no id of the new stream', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats)
  const [one, other] = stage.servers
  await stage.publishEverywhere(1)
  await stage.healed()
  const held = one!.proxy!.holdReply(ACKNOWLEDGEMENT)
  const published = stage.publish(1, { server: one! })
  const handOn = await held
  const { state: { last_seq: before } } = await infoOf(nats)
  await lose(nats, 'stream')
  for (let last = 0; last <= before; { state: { last_seq: last } } = await infoOf(nats)) await stage.publishEverywhere(1, other!)
  await stage.healed()
  handOn()
  const [{ result, error }] = await published as [Outcome]
  t.equal(result, 'unknown')
  t.match(error, /the stream lost what it had/)
  await stage.told(t, /epoch|forked/)
  await stage.check(t, { gaps: true })
})

test('a message is published to a room that was purged, while somebody comes back to it: it is told, and has the message', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { listeners: 0, rooms: 1 })
  const [one, other] = stage.servers
  const [first] = await stage.publish(2, { server: other! })
  await lose(nats, { room: stage.room })
  const held = one!.proxy!.holdReply(NOTHING_STORED)
  const read = one!.app!.rooms.history(stage.room, { since: first!.id! })
  const handOn = await held
  const [{ id }] = await stage.publish(1, { server: other! }) as [Outcome]
  handOn()
  t.match(await read, { complete: false, messages: [{ id }], id })
})

test('the stream is purged, and published to, while somebody who comes back is served: it is told once', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { listeners: 0, rooms: 1 })
  const [one, other] = stage.servers
  const [first] = await stage.publish(3, { server: other! })
  const held = one!.proxy!.holdReply(END_OF_PAGE)
  const read = one!.app!.rooms.history(stage.room, { since: first!.id! })
  const handOn = await held
  await lose(nats, 'messages')
  await stage.publish(1, { server: other! })
  handOn()
  const { complete, id } = await read
  t.equal(complete, false)
  t.match(await one!.app!.rooms.history(stage.room, { since: id }), { complete: true, id })
})

test('the stream is deleted, and made anew by another server, while a server looks at how it stands: everybody is told once', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats)
  const [one, other] = stage.servers
  await stage.publishEverywhere(10)
  await stage.healed()
  const held = one!.proxy!.holdReply(/stream_info_response/)
  one!.proxy!.cut()
  const handOn = await held
  await lose(nats, 'stream')
  await stage.publish(1, { server: other! })
  await until(() => stage.listeners.every(({ place, gaps }) => place !== other || gaps.length > 0), 'its listeners to be told')
  handOn()
  await stage.told(t, /epoch|forked/)
  // What is looked at again is held against what was found before.
  stage.each((proxy) => proxy.cut())
  await stage.publishEverywhere(1)
  await stage.healed()
  t.ok(stage.listeners.every(({ gaps }) => gaps.length === 1), stage.state())
  await stage.check(t, { gaps: true })
})

test('the stream is deleted, and somebody comes before that was seen: what is asked for is answered', { timeout: 60_000 }, async (t) => {
  const nats = await startJetStream(t)
  const stage = await startOnJetStream(t, nats, { listeners: 0, rooms: 2 })
  const { rooms } = stage.servers[0]!.app!
  const [first] = await stage.publish(3)
  await lose(nats, 'stream')
  t.match(await rooms.history(stage.room, { since: first!.id! }), { complete: false, messages: [] })
  await lose(nats, 'stream')
  const subscription = await rooms.subscribe(stage.rooms[1]!, () => {})
  await subscription.close()
})

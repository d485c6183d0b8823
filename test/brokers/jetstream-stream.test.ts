import type { StreamConfig } from '@nats-io/jetstream'
import type { Test } from 'tap'
import type { JetStreamBrokerOptions } from '../../lib/brokers/jetstream/jetstream.js'
import type { Server } from './contract/server.js'
import { jetstreamManager } from '@nats-io/jetstream'
import tap, { test } from 'tap'
import { JetStreamBroker } from '../../lib/brokers/jetstream/jetstream.js'
import { NatsReader } from '../faults/nats-proxy.js'
import { Proxy } from '../faults/proxy.js'
import { NatsServer } from '../nats-server.js'
import { newRoom, Stage, until } from './contract/server.js'
import { jetStreamOptions } from './jetstream-contract.js'

const nats = await NatsServer.start(tap, { jetstream: true })
const manager = await jetstreamManager(await nats.admin())
let names = 0

function options (others: Partial<JetStreamBrokerOptions> = {}): JetStreamBrokerOptions {
  return { ...jetStreamOptions(nats.url, { size: 5, idempotencyTtl: 60_000 }), keyPrefix: `stream-${++names}`, timeout: 5_000, ...others }
}

function server (t: Test, settings: JetStreamBrokerOptions): Promise<Server> {
  const stage = new Stage(t, { name: 'nats+jetstream', create: () => new JetStreamBroker(settings) })
  t.after(() => stage.close())
  return stage.server(stage.options.create)
}

/** What an operator would make for it. */
function own (name: string): Partial<StreamConfig> & { name: string } {
  return {
    name,
    subjects: [`${name}.room.*`],
    republish: { src: `${name}.room.*`, dest: `${name}.live.{{wildcard(1)}}` },
    max_msgs_per_subject: 6,
    max_age: 3_600e9,
    duplicate_window: 60e9
  }
}

test('a stream is made, and follows the options', async (t) => {
  const settings = options()
  await (await server(t, settings)).start()
  t.match((await manager.streams.info(settings.keyPrefix)).config, { max_msgs_per_subject: 6, max_age: (24 * 3_600 + 300) * 1e9, duplicate_window: 60e9, num_replicas: 1 })
  const larger = await server(t, { ...settings, history: { size: 50, maxAge: 60_000 } })
  await larger.start()
  t.match((await manager.streams.info(settings.keyPrefix)).config, { max_msgs_per_subject: 51, max_age: (24 * 3_600 + 60) * 1e9 })
})

test('an operator\'s own stream is used as it is, where it will do', async (t) => {
  const settings = options()
  await manager.streams.add(own(settings.keyPrefix))
  const one = await server(t, settings)
  await one.start()
  const room = newRoom()
  const start = await one.broker.subscribe(room)
  const ids = await one.publish(room, '1', '2')
  t.same(await one.heard(room, 2), (await one.broker.read(room, { since: start, limit: 10 })).entries)
  t.match(await one.broker.read(room, { limit: 10 }), { position: ids[1] })
  t.match((await manager.streams.info(settings.keyPrefix)).config, { max_age: 3_600e9 }, 'and not changed')
})

test('and refused with what is wrong with it, where it will not', async (t) => {
  const wrong: Array<[Partial<StreamConfig>, RegExp]> = [
    [{ max_msgs_per_subject: 5 }, /max_msgs_per_subject is 5, and must be 6 or more/],
    [{ max_age: 1e9, duplicate_window: 1e9 }, /max_age is 1000000000, and must be 300000000000 or more; duplicate_window is 1000000000/],
    [{ republish: { src: 'stream', dest: 'elsewhere' } }, /must republish stream-\d+\.room\.\* to stream-\d+\.live\.{{wildcard\(1\)}}/],
    [{ discard: 'new' as StreamConfig['discard'] }, /discard is new, and must be old/],
    [{ no_ack: true }, /no_ack must be off/]
  ]
  for (const [change, message] of wrong) {
    const settings = options()
    const config = { ...own(settings.keyPrefix), ...change }
    if (change.republish !== undefined) config.subjects = [...config.subjects as string[], 'stream']
    await manager.streams.add(config)
    await t.rejects((await server(t, settings)).start(), { code: 'FAN_OUT_ERR_INVALID_OPTION', message })
    await manager.streams.delete(settings.keyPrefix)
  }
})

test('a stream that cannot be made, since another server is making it, is found then', async (t) => {
  const proxy = await Proxy.start(t, nats.port, () => new NatsReader(/^none$/))
  const settings = { ...options(), nats: jetStreamOptions(`nats://127.0.0.1:${proxy.port}`, { size: 5, idempotencyTtl: 60_000 }).nats }
  // A server of 2.9 says of a stream of the same name, while it is made, that its subjects are taken.
  const taken = { ...own(settings.keyPrefix), name: `${settings.keyPrefix}-other` }
  await manager.streams.add(taken)
  const held = proxy.holdReply(/subjects overlap/)
  const started = (await server(t, settings)).start()
  const handOn = await held
  await manager.streams.delete(taken.name)
  await manager.streams.add(own(settings.keyPrefix))
  handOn()
  await started
})

test('and where there is none then either, it is told why', async (t) => {
  const settings = options()
  const taken = { ...own(settings.keyPrefix), name: `${settings.keyPrefix}-other` }
  await manager.streams.add(taken)
  await t.rejects((await server(t, settings)).start(), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /does not create the stream stream-\d+: subjects overlap/ })
  await manager.streams.delete(taken.name)
})

test('what an operator\'s own stream refuses a server that starts is told as all is', async (t) => {
  const settings = options()
  await manager.streams.add({ ...own(settings.keyPrefix), max_msg_size: 50 })
  await t.rejects((await server(t, settings)).start(), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /JetStream refuses: message size exceeds maximum allowed/ })
})

test('the window ends by age as well, and a room goes on where it was', async (t) => {
  const one = await server(t, options({ history: { size: 100, maxAge: 2_000 } }))
  await one.start()
  const room = newRoom()
  const [first, second] = await one.publish(room, '1', '2')
  await until(async () => (await one.broker.read(room, { limit: 10 })).entries.length === 0, 'the window to be over')
  t.match(await one.broker.read(room, { since: first!, limit: 10 }), { entries: [{ type: 'gap', reason: 'expired', id: second }], position: second })
  t.match(await one.broker.read(room, { since: second!, limit: 10 }), { entries: [], position: second })
  const [third] = await one.publish(room, '3')
  t.match(await one.broker.read(room, { since: second!, limit: 10 }), { entries: [{ type: 'message', id: third, previous: second }], more: false })
  t.match(await one.broker.read(room, { limit: 10 }), { entries: [{ id: third }], start: second })
  t.match(await one.broker.read(room, { last: 5, limit: 5 }), { entries: [{ id: third }], start: second })
})

test('a NATS without JetStream is told from one that is away', async (t) => {
  const plain = await NatsServer.start(t)
  const settings = { ...options({ timeout: 2_000 }), nats: jetStreamOptions(plain.url, { size: 1, idempotencyTtl: 1_000 }).nats }
  await t.rejects((await server(t, settings)).start(), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /JetStream does not answer: is it enabled, for this account\?/ })
})

test('a new server that is alone begins a segment, of which nobody is told', async (t) => {
  const settings = options()
  const room = newRoom()
  const one = await server(t, settings)
  await one.start()
  const [first, second] = await one.publish(room, '1', '2')
  await one.broker.close()
  const other = await server(t, settings)
  await other.start()
  const [third] = await other.publish(room, '3')
  t.not(third!.epoch, second!.epoch)
  t.match(await other.broker.read(room, { since: first!, limit: 10 }), { entries: [{ type: 'message', id: second, previous: first }, { type: 'message', id: third, previous: second }] })
  const next = { epoch: second!.epoch, offset: third!.offset }
  t.match(await other.broker.read(room, { since: next, limit: 10 }), { entries: [{ type: 'gap', reason: 'forked' }, { id: third }] }, 'what never was in that segment')
})

test('the message that a reader stands at is gone, and the next one follows it in the stream: a hole, once, which leads somewhere', async (t) => {
  const settings = options()
  const one = await server(t, settings)
  await one.start()
  const room = newRoom()
  const [first, second, third] = await one.publish(room, '1', '2', '3')
  const { last_seq: last } = (await manager.streams.info(settings.keyPrefix)).state
  for (const seq of [last - 2, last - 1]) await manager.streams.deleteMessage(settings.keyPrefix, seq)
  for (const since of [first, second]) {
    const { entries: [hole, message, ...more] } = await one.broker.read(room, { since: since!, limit: 10 })
    t.match([hole, message, more], [{ type: 'gap', reason: 'expired' }, { type: 'message', id: third, previous: hole!.id, text: '3' }, []])
    t.not(hole!.id.offset, since!.offset)
    t.same((await one.broker.read(room, { since: hole!.id, limit: 10 })).entries, [message])
  }
})

test('a start that fails at its end, and is tried again: the server tells others that it is there', async (t) => {
  const proxy = await Proxy.start(t, nats.port, () => new NatsReader(/^none$/))
  const settings = { ...options({ timeout: 2_000 }), nats: jetStreamOptions(`nats://127.0.0.1:${proxy.port}`, { size: 5, idempotencyTtl: 60_000 }).nats }
  const one = await server(t, settings)
  const starting = one.start()
  // The record is read twice before the last of it.
  for (let i = 0; i < 2; i++) {
    const handOn = await proxy.holdReply(/stream_msg_get_response.*~lineage/)
    if (i === 1) proxy.stall()
    handOn()
  }
  await t.rejects(starting, { code: 'FAN_OUT_ERR_BROKER_AWAY' })
  proxy.flow()
  await one.start()
  await t.resolves((await nats.admin()).request(`${settings.keyPrefix}.servers`))
})

for (const looks of [2, 3]) {
  test(`a stream is deleted when a server that starts has looked at it ${looks} times: it is made again`, async (t) => {
    const proxy = await Proxy.start(t, nats.port, () => new NatsReader(/^none$/))
    const settings = options()
    await (await server(t, settings)).start()
    const started = (await server(t, { ...settings, history: { size: 50, maxAge: 60_000 }, nats: jetStreamOptions(`nats://127.0.0.1:${proxy.port}`, { size: 5, idempotencyTtl: 60_000 }).nats })).start()
    for (let i = 1; i <= looks; i++) {
      const handOn = await proxy.holdReply(/stream_info_response/)
      if (i === looks) await manager.streams.delete(settings.keyPrefix)
      handOn()
    }
    await started
    t.match((await manager.streams.info(settings.keyPrefix)).config, { max_msgs_per_subject: 51 })
  })
}

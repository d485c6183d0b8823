import type { Test } from 'tap'
import type { JetStreamBrokerOptions } from '../../lib/brokers/jetstream/jetstream.js'
import type { Cursor } from '../../lib/cursor.js'
import type { Server } from './contract/server.js'
import { jetstreamManager } from '@nats-io/jetstream'
import { headers } from '@nats-io/transport-node'
import { setImmediate } from 'node:timers/promises'
import tap, { test } from 'tap'
import { JetStreamBroker } from '../../lib/brokers/jetstream/jetstream.js'
import { NatsReader } from '../faults/nats-proxy.js'
import { Proxy } from '../faults/proxy.js'
import { NatsServer } from '../nats-server.js'
import { Random } from '../simulation/clock.js'
import { accepted, newRoom, Stage, until } from './contract/server.js'
import { jetStreamOptions } from './jetstream-contract.js'

const PROGRAMS = ['nats', 'nats-current'] as const
const servers = { nats: await NatsServer.start(tap, { program: 'nats', jetstream: true }), 'nats-current': await NatsServer.start(tap, { jetstream: true }) }
let names = 0

interface Kept { server: Server, stored: () => Promise<Array<{ text: string, messageId: string }>>, send: (room: string, text: string, messageId?: string) => Promise<void> }

/** A server with a stream of its own, and a look into that. */
async function keep (t: Test, { program = 'nats-current', size = 100, bytes = -1 }: { program?: typeof PROGRAMS[number], size?: number, bytes?: number } = {}): Promise<Kept> {
  const nats = servers[program]
  const settings = { ...jetStreamOptions(nats.url, { size, idempotencyTtl: 60_000 }), keyPrefix: `packs-${++names}` }
  const stage = new Stage(t, { name: 'nats+jetstream', create: () => new JetStreamBroker(settings) })
  t.after(() => stage.close())
  const admin = await nats.admin()
  const { streams } = await jetstreamManager(admin)
  const name = settings.keyPrefix
  if (bytes > 0) {
    await streams.add({
      name,
      subjects: [`${name}.room.*`],
      republish: { src: `${name}.room.*`, dest: `${name}.live.{{wildcard(1)}}` },
      max_msg_size: bytes,
      duplicate_window: 60_000e6
    })
  }
  return {
    server: await stage.start(),
    async stored () {
      const { state: { first_seq: first, last_seq: last } } = await streams.info(name)
      const all = await Promise.all(Array.from({ length: last - first + 1 }, (_, i) => streams.getMessage(name, { seq: first + i })))
      return all.flatMap((message) => message === null || message.subject.includes('~') ? [] : [{ text: message.string(), messageId: message.header.get('Nats-Msg-Id') }])
    },
    async send (room, text, messageId = '') {
      const header = headers()
      if (messageId !== '') header.set('Nats-Msg-Id', messageId)
      await admin.request(`${name}.room.${room}`, text, { headers: header, timeout: 5_000 })
    }
  }
}

async function behind (t: Test, proxy: Proxy, others: Partial<JetStreamBrokerOptions> = {}): Promise<Server> {
  const settings = { ...jetStreamOptions(`nats://127.0.0.1:${proxy.port}`, { size: 100, idempotencyTtl: 60_000 }), keyPrefix: `packs-${++names}`, ...others }
  const stage = new Stage(t, { name: 'nats+jetstream', create: () => new JetStreamBroker(settings) })
  t.after(() => stage.close())
  return await stage.start()
}

const texts = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(from + i))

test('what is published at once is stored as one, a line each, and comes one by one', async (t) => {
  const { server, stored } = await keep(t)
  const room = newRoom()
  const start = await server.broker.subscribe(room)
  const results = accepted(await server.broker.publish(texts(5).map((text) => ({ room, text }))))
  const [pack, ...more] = await stored()
  t.same([pack!.text, more.length], ['0\n1\n2\n3\n4', 0])
  t.match(pack!.messageId, /\+5$/)
  const live = await server.heard(room, 5)
  t.same(live.map(({ id, text }) => [id, text]), results.map(({ id }, i) => [id, String(i)]))
  t.same(live.map(({ previous }) => previous), [start, ...results.slice(0, -1).map(({ id }) => id)])
  t.same((await server.broker.read(room, { since: start, limit: 10 })).entries, live)
})

test('a pack has 32 messages at most, and 32 KiB', async (t) => {
  const { server, stored } = await keep(t)
  const room = newRoom()
  accepted(await server.broker.publish(texts(70).map((text) => ({ room, text }))))
  const long = `"${'x'.repeat(15_000)}"`
  accepted(await server.broker.publish([long, long, long, `"${'y'.repeat(100_000)}"`, '1'].map((text) => ({ room, text }))))
  t.same((await stored()).map(({ text }) => text.split('\n').length), [32, 32, 6, 2, 1, 1, 1])
})

test('one with an idempotency key is alone, in its place, and found again', async (t) => {
  const { server, stored } = await keep(t)
  const room = newRoom()
  const results = accepted(await server.broker.publish([{ room, text: '0' }, { room, text: '1' }, { room, text: '2', idempotencyKey: 'key' }, { room, text: '3' }, { room, text: '4' }]))
  t.same((await stored()).map(({ text }) => text), ['0\n1', '2', '3\n4'])
  t.same((await server.broker.read(room, { limit: 10 })).entries.map(({ id }) => id), results.map(({ id }) => id))
  t.same(accepted(await server.broker.publish([{ room, text: '5' }, { room, text: 'other', idempotencyKey: 'key' }, { room, text: '6' }])).map(({ duplicate }) => duplicate), [false, true, false])
  t.same((await stored()).map(({ text }) => text), ['0\n1', '2', '3\n4', '5', '6'])
})

test('where a stream takes small messages only, a pack is no larger', async (t) => {
  const { server, stored } = await keep(t, { bytes: 1_000 })
  const room = newRoom()
  const of = (length: number): string => `"${'x'.repeat(length - 2)}"`
  accepted(await server.broker.publish(texts(20).map(() => ({ room, text: of(200) }))))
  t.same((await stored()).map(({ text }) => text.split('\n').length), [3, 3, 3, 3, 3, 3, 2])
  const results = await server.broker.publish([of(200), of(2_000), of(200)].map((text) => ({ room, text })))
  t.match(results, [{ duplicate: false }, { code: 'FAN_OUT_ERR_BROKER_AWAY' }, { duplicate: false }], 'one that is refused does not sink the others')
})

test('what others store is one message, whatever is in it', async (t) => {
  const { server, send } = await keep(t)
  const room = newRoom().replaceAll(/\W/g, '')
  await server.broker.subscribe(room)
  const strange: Array<[text: string, messageId?: string]> = [['{\n"a": 1\n}'], ['1\n2', 'mine'], ['1\n2', 'mine+3'], ['1\n2', 'mine+1'], ['1', 'mine+2'], [texts(40).join('\n'), 'mine+40']]
  for (const message of strange) await send(room, ...message)
  t.same((await server.heard(room, strange.length)).map(({ text }) => text), strange.map(([text]) => text))
  t.same((await server.broker.read(room, { limit: 10 })).entries, server.of(room))
})

for (const program of PROGRAMS) {
  test(`reading goes on from any position, ${program}`, { timeout: 60_000 }, async (t) => {
    const random = new Random(1)
    const { server } = await keep(t, { program, size: 5 })
    const room = newRoom()
    const ids: Cursor[] = [await server.broker.subscribe(room)]
    for (let i = 0; i < 12; i++) {
      const results = await server.broker.publish(texts(random.upTo(3) === 0 ? 1 : 1 + random.upTo(20), ids.length).map((text) => ({ room, text })))
      ids.push(...accepted(results).map(({ id }) => id))
    }
    const top = ids.length - 1
    const oldest = Number((await server.broker.read(room, { limit: 1 })).entries.map((entry) => entry.type === 'message' ? entry.text : '')[0])
    t.ok(oldest > 1 && oldest <= top - 5, 'the window has moved')
    for (const [standing, since] of ids.entries()) {
      const read: string[] = []
      let [position, more] = [since, true]
      while (more) {
        const window = await server.broker.read(room, { since: position, limit: 7 })
        for (const entry of window.entries) {
          read.push(entry.type === 'gap' ? entry.reason : entry.text)
          if (entry.type === 'message') t.same(entry.previous, position, 'nothing between')
          position = entry.id
        }
        more = window.more
        t.ok(window.entries.filter(({ type }) => type === 'message').length <= 7)
      }
      const expected = standing < oldest - 1 ? ['expired', ...texts(top - oldest + 1, oldest)] : texts(top - standing, standing + 1)
      t.same(read, expected, `from ${standing} of ${top}, where ${oldest} is the oldest`)
    }
    for (const last of [1, 3, 7, top]) {
      const { entries, start } = await server.broker.read(room, { last, limit: last })
      const from = Math.max(oldest, top - last + 1)
      t.same(entries.map((entry) => entry.type === 'message' && entry.text), texts(top - from + 1, from), `the last ${last}`)
      t.same(start, ids[from - 1])
    }
  })
}

test('a position within a pack that is no message of it is not taken for one', async (t) => {
  const { server } = await keep(t)
  const room = newRoom()
  await server.publish(room, '0')
  const [first] = accepted(await server.broker.publish(texts(3).map((text) => ({ room, text }))))
  const { epoch, offset } = first!.id
  const { entries } = await server.broker.read(room, { since: { epoch, offset: offset - 1 }, limit: 10 })
  t.match(entries[0], { type: 'gap', reason: 'expired' })
})

test('what is published while NATS is away is in packs that it takes, once it is back', async (t) => {
  const nats = await NatsServer.start(t, { jetstream: true, config: 'max_payload: 8192' })
  const proxy = await Proxy.start(t, nats.port, () => new NatsReader(/^none$/))
  const server = await behind(t, proxy)
  proxy.refuse(true)
  await until(() => proxy.refused > 0, 'the link to be missed')
  const results = server.broker.publish(Array.from({ length: 20 }, () => ({ room: 'room', text: `"${'x'.repeat(1_000)}"` })))
  await setImmediate()
  proxy.refuse(false)
  t.equal(accepted(await results).length, 20)
})

test('one of several was acknowledged, and NATS falls silent before the others are: it has its id', async (t) => {
  const proxy = await Proxy.start(t, servers['nats-current'].port, () => new NatsReader(/^none$/))
  const server = await behind(t, proxy, { timeout: 3_000 })
  const results = server.broker.publish(['a', 'b'].map((idempotencyKey) => ({ room: 'room', text: '1', idempotencyKey })))
  const held = proxy.holdReply(/"seq": ?3\b/)
  await held
  proxy.stall()
  const [first, second] = await results
  t.match([first, second], [{ id: {}, duplicate: false }, { code: 'FAN_OUT_ERR_BROKER_AWAY' }])
})

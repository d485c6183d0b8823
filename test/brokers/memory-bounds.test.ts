import type { MemoryBrokerOptions } from '../../lib/brokers/memory.js'
import type { Test } from 'tap'
import { test } from 'tap'
import { MemoryBroker } from '../../lib/brokers/memory.js'
import { systemScheduler } from '../../lib/scheduler.js'
import { Clock, Random } from '../simulation/clock.js'
import { accepted, texts } from './contract/server.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const room = 'news'

interface Ours { broker: MemoryBroker, clock: Clock, publish (count?: number, text?: string, to?: string): Promise<void> }

async function start (t: Test, history: Partial<MemoryBrokerOptions['history']> = {}, idempotencyTtl = 5 * MINUTE): Promise<Ours> {
  // Its time is virtual, and its turns are the real ones.
  const clock = Object.assign(new Clock(new Random(1)), { soon: systemScheduler.soon })
  const broker = new MemoryBroker({ history: { size: 1_000, maxAge: 5 * MINUTE, bytes: 4 * 1024 * 1024, ...history }, idempotencyTtl, scheduler: clock })
  await broker.start({ message () {}, doubt () {} })
  t.teardown(() => broker.close())
  let published = 0
  const publish: Ours['publish'] = async (count = 1, text, to = room) => {
    accepted(await broker.publish(Array.from({ length: count }, () => ({ room: to, text: text ?? String(++published) }))))
  }
  return { broker, clock, publish }
}

test('the window is bounded by count', async (t) => {
  const { broker, publish } = await start(t, { size: 3 })
  await publish(3)
  t.same(texts(await broker.read(room, { limit: 10 })), ['1', '2', '3'])
  await publish(2)
  t.same(texts(await broker.read(room, { limit: 10 })), ['3', '4', '5'])
})

test('the window is bounded by bytes, and the newest message stays however large it is', async (t) => {
  const { broker, publish } = await start(t, { bytes: 100 })
  await publish(4, '"' + 'é'.repeat(14) + '"') // 30 bytes each
  t.equal((await broker.read(room, { limit: 10 })).entries.length, 3)
  const [first] = (await broker.read(room, { limit: 1 })).entries
  await publish(1, '"' + 'x'.repeat(500) + '"')
  const window = await broker.read(room, { since: first!.id, limit: 10 })
  t.match(texts(window), ['expired', /x{500}/])
  await publish(2, '1')
  t.same(texts(await broker.read(room, { limit: 10 })), ['1', '1'], 'it goes with the next one')
})

test('the window is bounded by age, each message by its own', async (t) => {
  const { broker, clock, publish } = await start(t, { maxAge: 10 * SECOND })
  await publish()
  await clock.advance(6 * SECOND)
  await publish()
  await clock.advance(3_999)
  t.same(texts(await broker.read(room, { limit: 10 })), ['1', '2'])
  await clock.advance(1)
  const window = await broker.read(room, { limit: 10 })
  t.same(texts(window), ['2'])
  await clock.advance(DAY)
  const { position } = window
  t.same(await broker.read(room, { since: position, limit: 10 }), { entries: [], start: position, position, more: false }, 'a cursor at the top outlives the messages')
  t.match((await broker.read(room, { since: window.start, limit: 10 })).entries, [{ type: 'gap', reason: 'expired', id: position }])
})

test('a room is forgotten two days after its last use, and not before', async (t) => {
  const { broker, clock, publish } = await start(t)
  await publish()
  const { position } = await broker.read(room, { limit: 1 })
  await clock.advance(2 * DAY - HOUR)
  t.same((await broker.read(room, { since: position, limit: 1 })).entries, [], 'its top is still good')
  t.equal(broker.size.rooms, 1)
  await clock.advance(2 * HOUR)
  t.equal(broker.size.rooms, 0)
  t.match((await broker.read(room, { since: position, limit: 1 })).entries, [{ type: 'gap', reason: 'epoch' }], 'and later it is told that it is not')
})

test('a room that somebody is subscribed to is never forgotten', async (t) => {
  const { broker, clock, publish } = await start(t)
  const start_ = await broker.subscribe('empty')
  await broker.subscribe(room)
  await publish()
  const { position } = await broker.read(room, { limit: 1 })
  await clock.advance(10 * DAY)
  t.same(await broker.positions([{ room }, { room: 'empty' }]), [position, start_])
  t.same((await broker.read('empty', { since: start_, limit: 1 })).entries, [])
  t.same((await broker.read(room, { since: position, limit: 1 })).entries, [])
})

test('a cursor of a room in which nothing was published resumes a day later, whenever that day begins', async (t) => {
  for (let hour = 0; hour < 48; hour += 5) {
    const { broker, clock, publish } = await start(t)
    await clock.advance(hour * HOUR)
    const since = await broker.subscribe(room)
    await broker.unsubscribe(room)
    await clock.advance(DAY)
    if ((await broker.read(room, { since, limit: 10 })).entries.length > 0) t.fail(`a gap, where nothing was published, from hour ${hour}`)
    await publish()
    const got = texts(await broker.read(room, { since, limit: 10 }))
    if (got.join() !== '1') t.same(got, ['1'], `what was published meanwhile, from hour ${hour}`)
  }
  t.pass('it does')
})

test('who was subscribed for days to a room in which nothing was published can leave, and resume a day later', async (t) => {
  const { broker, clock, publish } = await start(t)
  const since = await broker.subscribe(room)
  await clock.advance(10 * DAY)
  await broker.unsubscribe(room)
  await clock.advance(DAY)
  t.same((await broker.read(room, { since, limit: 10 })).entries, [])
  await publish()
  t.same(texts(await broker.read(room, { since, limit: 10 })), ['1'])
})

test('no cursor of a history that was forgotten resumes in silence', async (t) => {
  // Whatever a client holds, from before the first message or after the last: once the messages are forgotten it is
  // told a gap, never nothing. Each client begins at another hour, since the base epochs change with the days.
  for (let hour = 0; hour < 50; hour += 7) {
    const { broker, clock, publish } = await start(t)
    await clock.advance(hour * HOUR)
    const before = await broker.subscribe(room)
    await broker.unsubscribe(room)
    await clock.advance(HOUR)
    await publish(3)
    const { position } = await broker.read(room, { limit: 1 })
    let forgotten = false
    for (let later = 0; later < 80; later++) {
      await clock.advance(HOUR)
      forgotten ||= broker.size.rooms === 0
      const [first] = (await broker.read(room, { since: before, limit: 10 })).entries
      if (first === undefined) t.fail(`silence for who left before, ${later} hours after it`)
      const [last] = (await broker.read(room, { since: position, limit: 10 })).entries
      if (forgotten && last?.type !== 'gap') t.fail(`silence for who left after, ${later} hours after it`)
    }
    if (!forgotten) t.fail('the room is kept for ever')
    await publish()
    t.match(await broker.read(room, { since: position, limit: 10 }), { entries: [{ type: 'gap' }, { type: 'message' }] })
  }
})

test('joining and leaving 100,000 rooms leaves nothing behind', async (t) => {
  const { broker } = await start(t)
  for (let i = 0; i < 100_000; i++) {
    await broker.subscribe(`room:${i}`)
    await broker.unsubscribe(`room:${i}`)
  }
  t.same(broker.size, { rooms: 0, keys: 0 })
  for (let i = 0; i < 1_000; i++) {
    await broker.read(`room:${i}`, { limit: 1 })
    await broker.positions([{ room: `room:${i}` }])
  }
  t.equal(broker.size.rooms, 0, 'nor does reading')
})

test('the memory of keys is bounded: when it is full a key is refused, and none is forgotten', async (t) => {
  const { broker, clock } = await start(t)
  const publish = async (key: number): Promise<unknown> => (await broker.publish([{ room, text: '1', idempotencyKey: String(key) }]))[0]
  const results = await broker.publish(Array.from({ length: 99_999 }, (_, i) => ({ room, text: '1', idempotencyKey: String(i) })))
  t.ok(accepted(results).every(({ duplicate }) => !duplicate))
  await clock.advance(MINUTE)
  t.match(await publish(99_999), { duplicate: false })
  t.equal(broker.size.keys, 100_000)
  const { position } = await broker.read(room, { limit: 1 })

  t.match(await publish(100_000), { statusCode: 429, code: 'FAN_OUT_ERR_TOO_MANY_KEYS', headers: { 'retry-after': '240' } })
  t.match(await publish(0), { duplicate: true }, 'the first is still known')
  t.same((await broker.read(room, { limit: 1 })).position, position, 'nothing was published')
  const [unkeyed, refused, known] = await broker.publish([{ room, text: '1' }, { room, text: '1', idempotencyKey: 'x' }, { room, text: '1', idempotencyKey: '7' }])
  t.match([unkeyed, known], [{ duplicate: false }, { duplicate: true }], 'one that is refused does not sink the others')
  t.ok(refused instanceof Error)

  await clock.advance(4 * MINUTE)
  t.match(await publish(0), { duplicate: false }, 'its time is over')
  t.match(await publish(100_000), { duplicate: false })
  t.match(await publish(99_999), { duplicate: true })
})

test('a restart is another history, told by a gap', async (t) => {
  const one = await start(t)
  const before = await one.broker.subscribe(room)
  await one.publish(3)
  const { position } = await one.broker.read(room, { limit: 1 })
  await one.broker.close()
  const other = await start(t)
  for (const since of [before, position]) {
    t.match(await other.broker.read(room, { since, limit: 10 }), { entries: [{ type: 'gap', reason: 'epoch' }] })
  }
  await other.publish(5)
  for (const since of [before, position]) {
    t.same(texts(await other.broker.read(room, { since, limit: 10 })), ['epoch', '6', '7', '8', '9', '10'].map((text) => text === 'epoch' ? text : String(Number(text) - 5)))
  }
})

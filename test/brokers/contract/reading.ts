import type { Test } from 'tap'
import type { Cursor } from '../../../lib/cursor.js'
import type { ContractOptions } from './server.js'
import { accepted, chain, newRoom, Server, texts } from './server.js'

const MOST = Number.MAX_SAFE_INTEGER

/** What is read from the window. */
export function reading (t: Test, options: ContractOptions): void {
  t.test('reading on from each position', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2', '3', '4', '5')
    const positions = [start, ...ids]
    for (const [i, since] of positions.entries()) {
      const window = await server.call((broker) => broker.read(room, { since, limit: 100 }))
      t.same(texts(window), ['1', '2', '3', '4', '5'].slice(i))
      t.match(window, { start: since, position: ids[4], more: false })
      chain(t, since, window.entries.filter((entry) => entry.type === 'message'))
    }
    t.same((await server.broker.read(room, { since: start, limit: 100 })).entries, await server.heard(room, 5), 'as they came live')
  })

  t.test('the oldest, the newest, and page by page', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const [start] = await server.broker.positions([{ room, seen: { epoch: 0, offset: 0 } }])
    const ids = await server.publish(room, '1', '2', '3', '4', '5')
    t.match(await server.broker.read(room, { limit: 100 }), { start, position: ids[4], more: false })
    t.same(texts(await server.broker.read(room, { limit: 100 })), ['1', '2', '3', '4', '5'])
    const newest = await server.broker.read(room, { last: 2, limit: 100 })
    t.same(texts(newest), ['4', '5'])
    t.match(newest, { start: ids[2], position: ids[4], more: false })
    const all = await server.broker.read(room, { last: 100, limit: 100 })
    t.same(texts(all), ['1', '2', '3', '4', '5'])
    t.same(all.start, start)

    const first = await server.broker.read(room, { limit: 2 })
    t.same(texts(first), ['1', '2'])
    t.match(first, { start, position: ids[4], more: true })
    const second = await server.broker.read(room, { since: ids[1]!, limit: 2 })
    t.same([texts(second), second.more], [['3', '4'], true])
    const third = await server.broker.read(room, { since: ids[3]!, limit: 2 })
    t.same([texts(third), third.more], [['5'], false])
    const exact = await server.broker.read(room, { since: ids[2]!, limit: 2 })
    t.same([texts(exact), exact.more], [['4', '5'], false], 'no more where the limit is just met')
  })

  t.test('a read sees what was acknowledged before it was asked', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const [result] = accepted(await server.broker.publish([{ room, text: String(i) }]))
      const window = await server.broker.read(room, { limit: 100 })
      if (!texts(window).includes(String(i))) t.fail(`message ${i} is not there yet`)
      if (window.position.offset < result!.id.offset) t.fail('the top is behind')
    }))
    t.pass('all seen')
  })

  t.test('a room in which nothing was ever published has a position, and one that resumes', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    t.same(await server.broker.read(room, { since: start, limit: 10 }), { entries: [], start, position: start, more: false })
    t.same(await server.broker.read(room, { limit: 10 }), { entries: [], start, position: start, more: false })
    t.same(await server.broker.read(room, { last: 3, limit: 10 }), { entries: [], start, position: start, more: false })
    await server.broker.unsubscribe(room)
    const [id] = await server.publish(room, '1')
    const window = await server.broker.read(room, { since: start, limit: 10 })
    t.same(texts(window), ['1'])
    t.match(window, { start, position: id, more: false })
  })

  t.test('expired: the window has moved past the cursor', async (t) => {
    const server = await Server.start(t, options, { size: 20 })
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids: Cursor[] = []
    // A broker may trim by the block.
    for (let round = 0; round < 100 && (await server.broker.read(room, { since: start, limit: 1 })).entries[0]?.type !== 'gap'; round++) {
      ids.push(...accepted(await server.broker.publish(Array.from({ length: 50 }, (_, i) => ({ room, text: String(round * 50 + i) })))).map(({ id }) => id))
    }
    const window = await server.broker.read(room, { since: start, limit: 10_000 })
    const [hole, first] = window.entries
    t.match(hole, { type: 'gap', reason: 'expired' })
    if (first?.type !== 'message') return t.fail('no message is retained')
    t.same(hole?.id, first.previous, 'the hole ends just before the oldest message')
    t.same(window.start, hole?.id)
    t.equal(window.entries.filter(({ type }) => type === 'gap').length, 1)
    t.ok(window.entries.length > 20, 'no less is retained than was asked for')
    t.same(window.position, ids.at(-1))
    chain(t, window.start, window.entries.filter((entry) => entry.type === 'message'))

    const limited = await server.broker.read(room, { since: start, limit: 2 })
    t.same(limited.entries, window.entries.slice(0, 3), 'the limit is of messages')
    t.equal(limited.more, true)
    t.same((await server.broker.read(room, { since: window.start, limit: 1 })).entries, [first], 'no hole from the oldest position on')
    const earliest = await server.broker.read(room, { limit: 1 })
    t.same([earliest.entries, earliest.start], [[first], first.previous], 'nor for who begins with the oldest')
    t.match(await server.broker.read(room, { since: ids.at(-1)!, limit: 1 }), { entries: [], more: false }, 'nor at the top')
  })

  t.test('epoch: the cursor is of another history', async (t) => {
    const server = await Server.start(t, options)
    const [room, empty] = [newRoom(), newRoom()]
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2', '3')
    const nothing = await server.broker.subscribe(empty)
    const forged = [0, 1, 12345, ids[0]!.epoch === MOST ? 2 : MOST].filter((epoch) => epoch !== start.epoch && epoch !== ids[0]!.epoch && epoch !== nothing.epoch)
    for (const epoch of forged) {
      for (const offset of [0, 1, 2, 3, MOST]) {
        const window = await server.broker.read(room, { since: { epoch, offset }, limit: 10 })
        if (texts(window).join() !== 'epoch,1,2,3') t.same(texts(window), ['epoch', '1', '2', '3'], `${epoch}-${offset}`)
        t.same([window.entries[0]?.id, window.start, window.position], [start, start, ids[2]])
        const none = await server.broker.read(empty, { since: { epoch, offset }, limit: 10 })
        t.same(none, { entries: [{ type: 'gap', reason: 'epoch', id: nothing }], start: nothing, position: nothing, more: false })
      }
    }
  })

  t.test('forked: the cursor is above the top', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const [, top] = await server.publish(room, '1', '2')
    for (const offset of [top!.offset + 1, top!.offset + 1_000, MOST]) {
      const window = await server.broker.read(room, { since: { epoch: top!.epoch, offset }, limit: 10 })
      t.same(window, { entries: [{ type: 'gap', reason: 'forked', id: top, from: top }], start: top, position: top, more: false })
    }
    const [third] = await server.publish(room, '3')
    t.same((await server.broker.read(room, { since: third!, limit: 10 })).entries, [], 'and good once it has come true')
  })

  t.test('the cursor of one room is no key to another', async (t) => {
    const server = await Server.start(t, options)
    const [one, other] = [newRoom(), newRoom()]
    const [foreign] = (await server.publish(one, '1', '2', '3')).slice(-1)
    await server.publish(other, '4')
    const { entries } = await server.broker.read(other, { since: foreign!, limit: 10 })
    t.equal(entries[0]?.type, 'gap', 'never silence')
  })
}

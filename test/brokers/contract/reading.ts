import type { Cursor } from '../../../lib/cursor.js'
import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { accepted, chain, match, meanwhile, messagesOf, newRoom, pause, same, texts } from './server.js'

const MOST = Number.MAX_SAFE_INTEGER

/** What is read from the window. */
export const reading: Tests = {
  'subscribe answers the top, however often a room is left and joined': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    let top = await server.broker.subscribe(room)
    for (const text of ['1', '2', '3']) {
      same(await server.broker.subscribe(room), top, 'the top, for one who is subscribed')
      await server.broker.unsubscribe(room)
      const [id] = await server.publish(room, '"while nobody is there"')
      top = await server.broker.subscribe(room)
      same(top, id, 'the top, for one who comes back')
      const before = server.of(room).length
      const [next] = await server.publish(room, text)
      const messages = (await server.heard(room, before + 1)).slice(before)
      same(messages, [{ type: 'message', id: next, previous: top, text }], 'and on from there, once')
      top = next as Cursor
    }
  },

  'reading on from each position': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2', '3', '4', '5')
    const live = await server.heard(room, 5)
    for (const [i, since] of [start, ...ids].entries()) {
      const window = await server.broker.read(room, { since, limit: 100 })
      same(window, { entries: live.slice(i), start: since, position: ids[4], more: false }, `from position ${i} on, as they came live`)
      chain(since, messagesOf(window))
    }
  },

  'the oldest, the newest, and page by page': async (stage) => {
    const { broker, publish } = await stage.start().then((server) => ({ broker: server.broker, publish: server.publish.bind(server) }))
    const room = newRoom()
    const [start] = await broker.positions([{ room, seen: { epoch: 0, offset: 0 } }]) as [Cursor]
    const ids = await publish(room, '1', '2', '3', '4', '5')
    const cases: Array<[request: { since?: Cursor, last?: number, limit: number }, expected: string[], start: Cursor, more: boolean]> = [
      [{ limit: 100 }, ['1', '2', '3', '4', '5'], start, false],
      [{ last: 2, limit: 100 }, ['4', '5'], ids[2]!, false],
      [{ last: 2, limit: 2 }, ['4', '5'], ids[2]!, false],
      [{ last: 100, limit: 100 }, ['1', '2', '3', '4', '5'], start, false],
      [{ limit: 2 }, ['1', '2'], start, true],
      [{ since: ids[1]!, limit: 2 }, ['3', '4'], ids[1]!, true],
      [{ since: ids[3]!, limit: 2 }, ['5'], ids[3]!, false],
      // The limit is just met.
      [{ since: ids[2]!, limit: 2 }, ['4', '5'], ids[2]!, false],
      [{ limit: 5 }, ['1', '2', '3', '4', '5'], start, false]
    ]
    for (const [request, expected, start, more] of cases) {
      const window = await broker.read(room, request)
      same({ ...window, entries: texts(window) }, { entries: expected, start, position: ids[4], more }, `read ${JSON.stringify(request)}`)
    }
  },

  'paging while others publish: all of it, in order, once': async (stage) => {
    const server = await stage.start({ size: 1_000 })
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    let publishing = true
    const published = meanwhile(async () => {
      try {
        for (let i = 0; i < 200; i++) {
          await server.publish(room, String(i))
          if (i % 10 === 0) await pause(1)
        }
      } finally {
        publishing = false
      }
    })
    const read: string[] = []
    for (let since = start, more = true; more;) {
      // What is read after the last was acknowledged has the rest.
      const over = !publishing
      const window = await server.broker.read(room, { since, limit: 7 })
      assert.ok(window.entries.length <= 7, 'no more than the limit')
      assert.ok(window.entries.length > 0 || !window.more, 'where there is more, there is something')
      chain(since, messagesOf(window))
      read.push(...texts(window))
      since = window.entries.at(-1)?.id ?? since
      more = window.more || !over
      await pause(1)
    }
    await published
    same(read, Array.from({ length: 200 }, (_, i) => String(i)), 'every message')
  },

  'a read sees what was acknowledged, and what was delivered, before it was asked': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    const check = async (text: string, id: Cursor): Promise<void> => {
      const window = await server.broker.read(room, { limit: 100 })
      assert.ok(texts(window).includes(text), `message ${text} is read`)
      assert.ok(window.position.offset >= id.offset, `the top is not below ${JSON.stringify(id)}`)
    }
    const delivered: Array<Promise<void>> = []
    server.onMessage = (_, { text, id }) => delivered.push(meanwhile(() => check(text, id)))
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const [result] = accepted(await server.broker.publish([{ room, text: String(i) }]))
      await check(String(i), result!.id)
    }))
    await server.heard(room, 50)
    await Promise.all(delivered)
    same(delivered.length, 50, 'each was looked for when it came')
  },

  'a room in which nothing was ever published has a position, and one that resumes': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const nothing = { entries: [], start, position: start, more: false }
    for (const request of [{ since: start, limit: 10 }, { limit: 10 }, { last: 3, limit: 10 }]) same(await server.broker.read(room, request), nothing, `read ${JSON.stringify(request)}`)
    await server.broker.unsubscribe(room)
    same(await server.broker.read(room, { since: start, limit: 10 }), nothing, 'after it was left')
    const [id] = await server.publish(room, '1')
    const window = await server.broker.read(room, { since: start, limit: 10 })
    same({ ...window, entries: texts(window) }, { entries: ['1'], start, position: id, more: false }, 'it resumes')
  },

  'expired: the window has moved past the cursor': async (stage) => {
    const server = await stage.start({ size: 20 })
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids: Cursor[] = []
    // A broker may trim by the block.
    for (let round = 0; round < 100 && (await server.broker.read(room, { since: start, limit: 1 })).entries[0]?.type !== 'gap'; round++) {
      ids.push(...accepted(await server.broker.publish(Array.from({ length: 50 }, (_, i) => ({ room, text: String(round * 50 + i) })))).map(({ id }) => id))
    }
    const window = await server.broker.read(room, { since: start, limit: 10_000 })
    const [hole, ...messages] = window.entries
    const [first] = messages
    assert.ok(first?.type === 'message', 'messages are retained after the hole')
    same(hole, { type: 'gap', reason: 'expired', id: first.previous }, 'one hole, which ends just before the oldest message')
    assert.ok(messages.length >= 20, 'no less is retained than was asked for')
    match(window, { start: first.previous, position: ids.at(-1)!, more: false }, 'the reader stands where the hole ends')
    same(messagesOf(window).map(({ id }) => id), ids.slice(-messages.length), 'every later message, and no second hole')
    chain(window.start, messagesOf(window))

    const limited = await server.broker.read(room, { since: start, limit: 2 })
    match(limited, { entries: window.entries.slice(0, 3), more: true }, 'the limit is of messages')
    same((await server.broker.read(room, { since: window.start, limit: 1 })).entries, [first], 'no hole from the oldest position on')
    match(await server.broker.read(room, { limit: 1 }), { entries: [first], start: first.previous }, 'nor for who begins with the oldest')
    match(await server.broker.read(room, { last: 1, limit: 1 }), { entries: messages.slice(-1), start: ids.at(-2)! }, 'nor with the newest')
    match(await server.broker.read(room, { since: ids.at(-1)!, limit: 1 }), { entries: [], more: false }, 'nor at the top')
    const before = ids[ids.length - messages.length - 2]
    if (before !== undefined) match(await server.broker.read(room, { since: before, limit: 1 }), { entries: [hole!, first] }, 'a hole for who missed a single message')
  },

  'epoch: the cursor is of another history': async (stage) => {
    const server = await stage.start()
    const [room, empty] = [newRoom(), newRoom()]
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2', '3')
    const nothing = await server.broker.subscribe(empty)
    const known = [start.epoch, ids[0]!.epoch, nothing.epoch]
    for (const epoch of [0, 1, 12345, MOST].filter((epoch) => !known.includes(epoch))) {
      for (const offset of [0, 1, 2, 3, MOST]) {
        const since = { epoch, offset }
        const window = await server.broker.read(room, { since, limit: 10 })
        match(window, { start, position: ids[2]!, more: false }, `read since ${JSON.stringify(since)}`)
        same([window.entries[0], ...texts(window).slice(1)], [{ type: 'gap', reason: 'epoch', id: start }, '1', '2', '3'], `read since ${JSON.stringify(since)}`)
        const none = await server.broker.read(empty, { since, limit: 10 })
        same(none, { entries: [{ type: 'gap', reason: 'epoch', id: nothing }], start: nothing, position: nothing, more: false }, `read an empty room since ${JSON.stringify(since)}`)
      }
    }
  },

  'forked: the cursor is above the top': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const [, top] = await server.publish(room, '1', '2') as [Cursor, Cursor]
    for (const offset of [top.offset + 1, top.offset + 1_000, MOST]) {
      const window = await server.broker.read(room, { since: { epoch: top.epoch, offset }, limit: 10 })
      same(window, { entries: [{ type: 'gap', reason: 'forked', id: top, from: top }], start: top, position: top, more: false }, 'a hole, back to the top')
    }
    const [third] = await server.publish(room, '3')
    same((await server.broker.read(room, { since: third!, limit: 10 })).entries, [], 'and good once it has come true')
  },

  'the cursor is above the top of a room in which nothing was published': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    for (const offset of [start.offset + 1_000, MOST]) {
      const { entries: [hole, ...others], ...rest } = await server.broker.read(room, { since: { epoch: start.epoch, offset }, limit: 10 })
      assert.ok(hole?.type === 'gap' && ['forked', 'epoch'].includes(hole.reason), 'a hole: such a room need not have a history')
      same([hole.id, others, rest], [start, [], { start, position: start, more: false }], 'back to where the room stands')
    }
  },

  'the cursor of one room is no key to another': async (stage) => {
    const server = await stage.start()
    const [one, other] = [newRoom(), newRoom()]
    const [foreign] = (await server.publish(one, '1', '2', '3')).slice(-1)
    await server.publish(other, '4')
    const { entries: [hole, ...messages] } = await server.broker.read(other, { since: foreign!, limit: 10 })
    assert.ok(hole?.type === 'gap', 'never silence')
    assert.notDeepEqual(hole.id, foreign, 'a hole leads somewhere')
    same((await server.broker.read(other, { since: hole.id, limit: 10 })).entries, messages, 'and is told once')
  },

  'reading forged cursors changes nothing': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2')
    for (const since of [{ epoch: ids[0]!.epoch, offset: MOST }, { epoch: 12345, offset: 1 }]) await server.broker.read(room, { since, limit: 10 })
    same(await server.broker.positions([{ room, seen: ids[1]! }]), [ids[1]], 'the room stands where it stood')
    await server.publish(room, '3')
    chain(start, await server.heard(room, 3))
  }
}

import type { Server, Stage, Tests } from './server.js'
import assert from 'node:assert/strict'
import { sameCursor } from '../../../lib/cursor.js'
import { accepted, chain, meanwhile, newRoom, same, texts } from './server.js'

async function two (stage: Stage): Promise<[Server, Server]> {
  return [await stage.start(), await stage.start()]
}

/** Several servers on the same rooms. */
export const sharedRooms: Tests = {
  'two servers: the same messages, ids and order, whoever publishes': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    const start = await one.broker.subscribe(room)
    same(await other.broker.subscribe(room), start, 'both stand at the same position')
    await Promise.all([one, other].map(async (server, s) => { for (let i = 0; i < 50; i++) await server.publish(room, JSON.stringify([s, i])) }))
    const messages = await one.heard(room, 100)
    same(messages.length, 100, 'each once')
    chain(start, messages)
    same(await other.heard(room, 100), messages, 'the same for both')
  },

  'two servers: positions grow whoever publishes, and both tell the same': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    let before = await one.broker.subscribe(room)
    for (let i = 0; i < 20; i++) {
      const [id] = await (i % 2 === 0 ? one : other).publish(room, String(i))
      assert.ok(id!.offset > before.offset, `${JSON.stringify(id)} is above every earlier position, ${JSON.stringify(before)}`)
      before = id!
      const asked = [{ room, seen: before }]
      same([await one.broker.positions(asked), await other.broker.positions(asked)], [[id], [id]], 'the top, asked by either')
    }
  },

  'two servers: what one leaves the other keeps': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    await Promise.all([one.broker.subscribe(room), other.broker.subscribe(room)])
    await one.broker.unsubscribe(room)
    await one.publish(room, '1')
    same((await other.heard(room, 1)).map(({ text }) => text), ['1'], 'after one has left')
    await one.broker.close()
    await other.publish(room, '2')
    same((await other.heard(room, 2)).map(({ text }) => text), ['1', '2'], 'after one has closed')
    same(one.of(room), [], 'and nothing to the one who left')
  }
}

/** And a window. */
export const sharedWindow: Tests = {
  'two servers: many rooms that are joined, and compared, at once: each stands where it does by itself': async (stage) => {
    const [one, other] = await two(stage)
    const rooms = Array.from({ length: 300 }, newRoom)
    const ids = await Promise.all(rooms.map(async (room, i) => i % 3 === 0 ? await one.publish(room, ...Array.from({ length: i % 4 + 1 }, (_, n) => `${n}`)) : []))
    const tops = await Promise.all(rooms.map(async (room) => await other.broker.subscribe(room)))
    for (const [i, top] of tops.entries()) if (ids[i]!.length > 0) same(top, ids[i]!.at(-1), `room ${i} stands at its last message`)
    const asked = rooms.map((room, i) => ({ room, seen: tops[i]! }))
    same(await other.broker.positions(asked), tops, 'where they were joined')
    for (const i of [0, 1, 299]) {
      const [id] = await one.publish(rooms[i]!, '"next"')
      const heard = await other.heard(rooms[i]!, 1)
      same(heard, [{ type: 'message', id, previous: tops[i], text: '"next"' }], `room ${i} goes on from there`)
      tops[i] = id!
    }
    same(await other.broker.positions(asked), tops, 'and where they stand now')
  },

  'two servers: one reads at once what the other published, or was given': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    const start = await one.broker.subscribe(room)
    const reads: Array<Promise<void>> = []
    one.onMessage = (_, { id }) => reads.push(meanwhile(async () => {
      const { entries, position } = await other.broker.read(room, { since: start, limit: 100 })
      assert.ok(entries.some((entry) => sameCursor(entry.id, id)), `${JSON.stringify(id)} was delivered to another server, and is not read`)
      assert.ok(position.offset >= id.offset, 'nor is the top below it')
    }))
    const expected: string[] = []
    for (let i = 0; i < 20; i++) {
      await one.publish(room, String(i))
      expected.push(String(i))
      same(texts(await other.broker.read(room, { since: start, limit: 100 })), expected, 'what was acknowledged to one, the other reads')
    }
    await one.heard(room, 20)
    await Promise.all(reads)
  },

  'two servers: a cursor of one is good at the other': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    const start = await one.broker.subscribe(room)
    same(await other.broker.read(room, { since: start, limit: 10 }), { entries: [], start, position: start, more: false }, 'of a room in which nothing was published')
    const [id] = await one.publish(room, '1')
    same(texts(await other.broker.read(room, { since: start, limit: 10 })), ['1'], 'from before the first message')
    await other.publish(room, '2')
    same(texts(await one.broker.read(room, { since: id!, limit: 10 })), ['2'], 'and from a message')
  }
}

/** And a memory of keys. */
export const sharedKeys: Tests = {
  'a key is known to all servers': async (stage) => {
    const [one, other] = await two(stage)
    const room = newRoom()
    const message = { room, text: '1', idempotencyKey: 'a' }
    const [first] = accepted(await one.broker.publish([message]))
    same(await other.broker.publish([message]), [{ id: first?.id, duplicate: true }], 'the first answer, from the other')

    const answers = (await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).broker.publish([{ room, text: '2', idempotencyKey: 'b' }])))).map((results) => accepted(results)[0]!)
    same(answers.filter(({ duplicate }) => !duplicate).length, 1, 'published once, however many ask both at once')
    for (const { id } of answers) same(id, answers[0]!.id, 'one id for all')
  }
}

import type { Cursor } from '../../../lib/cursor.js'
import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { sameCursor } from '../../../lib/cursor.js'
import { accepted, chain, meanwhile, newRoom, pause, same } from './server.js'

/** What is published, and how it comes live. */
export const live: Tests = {
  'messages come in the order of publishing, each following the one before': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2', '3')
    const results = accepted(await server.broker.publish(['4', '5', '6', '7'].map((text) => ({ room, text, idempotencyKey: undefined }))))
    const messages = await server.heard(room, 7)
    same(messages.map(({ text }) => text), ['1', '2', '3', '4', '5', '6', '7'], 'each once, in order')
    same(messages.map(({ id }) => id), [...ids, ...results.map(({ id }) => id)], 'with the ids that the publisher was told')
    same(results.map(({ duplicate }) => duplicate), [false, false, false, false], 'no key, no duplicate')
    chain(start, messages)
  },

  'publishes at the same time have one order, and a batch keeps its own': async (stage) => {
    const server = await stage.start({ size: 1_000 })
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const batches = await Promise.all(Array.from({ length: 20 }, async (_, a) => accepted(
      await server.broker.publish(Array.from({ length: 10 }, (_, b) => ({ room, text: JSON.stringify([a, b]) })))
    )))
    const messages = await server.heard(room, 200)
    same(messages.length, 200, 'each comes once')
    chain(start, messages)
    for (const [a, batch] of batches.entries()) {
      for (const [b, { id }] of batch.entries()) {
        assert.ok(b === 0 || id.offset > batch[b - 1]!.id.offset, 'positions grow within a batch')
        same(messages.find((message) => sameCursor(message.id, id))?.text, JSON.stringify([a, b]), `what was published as ${JSON.stringify(id)}`)
      }
    }
  },

  'a publish that is asked for after another has resolved comes after it, batches among lone ones': async (stage) => {
    const server = await stage.start()
    const [room, other] = [newRoom(), newRoom()]
    let before = await server.broker.subscribe(room)
    for (let i = 0; i < 10; i++) {
      const results = accepted(await server.broker.publish([{ room: other, text: '0' }, { room, text: '1' }, { room: other, text: '0' }, { room, text: '2' }].slice(0, i % 2 === 0 ? 2 : 4)))
      for (const { id } of results.filter((_, i) => i % 2 === 1)) {
        assert.ok(id.offset > before.offset, `${JSON.stringify(id)} is above every earlier position, ${JSON.stringify(before)}`)
        before = id
      }
    }
  },

  'a batch of many rooms: one result each, in the order given': async (stage) => {
    const server = await stage.start()
    const rooms = Array.from({ length: 30 }, newRoom)
    await Promise.all(rooms.map((room) => server.broker.subscribe(room)))
    const batch = Array.from({ length: 90 }, (_, i) => ({ room: rooms[i % 30] as string, text: String(i) }))
    const results = accepted(await server.broker.publish(batch))
    same(results.length, 90, 'one result for each')
    await server.until(() => server.received.length >= 90, '90 messages')
    for (const [r, room] of rooms.entries()) {
      const messages = server.of(room)
      same(messages.map(({ text }) => text), [String(r), String(r + 30), String(r + 60)], 'entries of one room keep their order')
      same(messages.map(({ id }) => id), [results[r]?.id, results[r + 30]?.id, results[r + 60]?.id], 'results stand in the order given')
    }
    same(await server.broker.publish([]), [], 'nothing, for nothing')
  },

  'many rooms at once': async (stage) => {
    const server = await stage.start()
    const rooms = Array.from({ length: 500 }, newRoom)
    const starts = await Promise.all(rooms.map((room) => server.broker.subscribe(room)))
    const ids = (await Promise.all(rooms.map((room) => server.publish(room, '1')))).flat()
    await server.until(() => server.received.length >= 500, '500 messages')
    await pause()
    const expected = rooms.map((room, i) => ({ room, message: { type: 'message', id: ids[i], previous: starts[i], text: '1' } }))
    const byRoom = (a: { room: string }, b: { room: string }): number => a.room < b.room ? -1 : 1
    same(server.received.toSorted(byRoom), expected.toSorted(byRoom), 'one message of each')
    await Promise.all(rooms.map((room) => server.broker.unsubscribe(room)))
  },

  'from the position that subscribe answers on, nothing is missing': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    let published = 0
    const publishing = meanwhile(async () => { for (; published < 100; published++) await server.publish(room, String(published)) })
    await server.until(() => published > 0, 'the first to be published')
    const start = await server.broker.subscribe(room)
    await publishing
    const [last] = await server.publish(room, '"last"')
    await server.heard(room, 1)
    const messages = server.of(room).filter(({ id }) => id.offset > start.offset)
    chain(start, messages)
    same(messages.at(-1)?.id, last, 'up to the newest')
  },

  'only subscribed rooms come, each once, and none after unsubscribe has resolved': async (stage) => {
    const server = await stage.start()
    const [one, other] = [newRoom(), newRoom()]
    await server.broker.subscribe(one)
    await server.broker.subscribe(one)
    await server.publish(other, '1')
    await server.publish(one, '2')
    same((await server.heard(one, 1)).length, 1, 'once, however often it was subscribed to')
    same(server.of(other), [], 'nothing of another room')

    // What comes of it after this is watched for in every test.
    const publishing = meanwhile(() => server.publish(one, '3', '4', '5'))
    await server.broker.unsubscribe(one)
    await publishing
    await server.publish(one, '6')
    await pause()
    await server.broker.unsubscribe(one)
    await server.broker.unsubscribe(newRoom())
  },

  'subscribe and unsubscribe are obeyed in the order they are called': async (stage) => {
    const server = await stage.start()
    const [kept, left] = [newRoom(), newRoom()]
    const { broker } = server
    await Promise.all([broker.subscribe(kept), broker.unsubscribe(kept), broker.subscribe(kept), broker.unsubscribe(kept), broker.subscribe(kept)])
    await Promise.all([broker.subscribe(left), broker.unsubscribe(left), broker.subscribe(left), broker.unsubscribe(left)])
    await server.publish(left, '1')
    await server.publish(kept, '2')
    same((await server.heard(kept, 1)).map(({ text }) => text), ['2'], 'the last call was to subscribe')
    same(server.of(left), [], 'the last call was to unsubscribe')
  },

  'positions: the top of each room, in the order given': async (stage) => {
    const server = await stage.start()
    const rooms = Array.from({ length: 50 }, newRoom)
    for (const [i, room] of rooms.entries()) if (i % 2 === 0) await server.publish(room, '1', '2')
    const seen = await Promise.all(rooms.map((room) => server.broker.subscribe(room)))
    const asked = rooms.map((room, i) => ({ room, seen: seen[i]! }))
    same(await server.broker.positions(asked), seen, 'as subscribe told')
    same(await server.broker.positions(asked), seen, 'and the same again, where nothing was published')
    const [id] = await server.publish(rooms[7] as string, '3')
    if (stage.options.window === false) await server.heard(rooms[7] as string, 1)
    same(await server.broker.positions([asked[7]!, asked[8]!, asked[7]!]), [id, seen[8], id], 'as they are now')
    same(await server.broker.positions([]), [], 'nothing, for nothing')
  },

  'positions: a server that has seen less, or what never was, is told where the room stands': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const [first, top] = await server.publish(room, '1', '2') as [Cursor, Cursor]
    if (stage.options.window === false) await server.heard(room, 2)
    same(await server.broker.positions([{ room, seen: start }, { room, seen: first }]), [top, top], 'the top, for one behind it')
    for (const seen of [{ epoch: top.epoch, offset: top.offset + 5 }, { epoch: top.epoch === 12345 ? 54321 : 12345, offset: 1 }]) {
      const [told] = await server.broker.positions([{ room, seen }]) as [Cursor]
      assert.ok(!sameCursor(told, seen), 'it does not stand where it never was')
      same(told.offset, top.offset, 'nothing was published meanwhile')
      same(await server.broker.subscribe(room), told, 'as subscribe tells')
    }
    const [next] = await server.publish(room, '3')
    assert.ok(next!.offset > top.offset, 'positions go on growing')
  }
}

import type { Test } from 'tap'
import type { ContractOptions } from './server.js'
import { sameCursor } from '../../../lib/cursor.js'
import { accepted, chain, newRoom, pause, Server, until } from './server.js'

/** What is published, and how it comes live. */
export function live (t: Test, options: ContractOptions): void {
  t.test('messages come in the order of publishing, each following the one before', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const start = await server.call((broker) => broker.subscribe(room))
    const ids = await server.publish(room, '1', '2', '3')
    const results = accepted(await server.call((broker) => broker.publish(['4', '5', '6', '7'].map((text) => ({ room, text })))))
    const messages = await server.heard(room, 7)
    t.same(messages.map(({ text }) => text), ['1', '2', '3', '4', '5', '6', '7'])
    t.same(messages.map(({ id }) => id), [...ids, ...results.map(({ id }) => id)], 'with the ids that the publisher was told')
    t.ok(results.every(({ duplicate }) => !duplicate))
    chain(t, start, messages)
  })

  t.test('publishes at the same time have one order, and a batch keeps its own', async (t) => {
    const server = await Server.start(t, options, { size: 1_000 })
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const batches = await Promise.all(Array.from({ length: 20 }, (_, a) => (
      server.broker.publish(Array.from({ length: 10 }, (_, b) => ({ room, text: JSON.stringify([a, b]) })))
    )))
    const messages = await server.heard(room, 200)
    t.equal(messages.length, 200)
    chain(t, start, messages)
    const offsets = batches.map((batch) => accepted(batch).map(({ id }) => id.offset))
    t.ok(offsets.every((batch) => batch.every((offset, i) => i === 0 || offset > (batch[i - 1] as number))), 'positions of a batch grow')
    for (const [a, batch] of batches.entries()) {
      for (const [b, { id }] of accepted(batch).entries()) {
        const message = messages.find((message) => sameCursor(message.id, id))
        if (message?.text !== JSON.stringify([a, b])) t.fail(`${JSON.stringify(id)} is not what was published`)
      }
    }
  })

  t.test('a batch of many rooms: one result each, in the order given', async (t) => {
    const server = await Server.start(t, options)
    const rooms = Array.from({ length: 30 }, newRoom)
    await Promise.all(rooms.map((room) => server.broker.subscribe(room)))
    const batch = Array.from({ length: 90 }, (_, i) => ({ room: rooms[i % 30] as string, text: String(i) }))
    const results = accepted(await server.broker.publish(batch))
    t.equal(results.length, 90)
    await until(() => server.received.length >= 90, '90 messages')
    for (const [r, room] of rooms.entries()) {
      const messages = server.of(room)
      t.same(messages.map(({ text }) => text), [String(r), String(r + 30), String(r + 60)])
      t.same(messages.map(({ id }) => id), [results[r]?.id, results[r + 30]?.id, results[r + 60]?.id])
    }
    t.same(await server.broker.publish([]), [])
  })

  t.test('from the position that subscribe answers on, nothing is missing', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const publishing = (async () => { for (let i = 0; i < 100; i++) await server.publish(room, String(i)) })()
    await pause(5)
    const start = await server.broker.subscribe(room)
    await publishing
    const [last] = await server.publish(room, '"last"')
    await server.heard(room, 1)
    const messages = server.of(room).filter(({ id }) => id.offset > start.offset)
    chain(t, start, messages)
    t.same(messages.at(-1)?.id, last)
  })

  t.test('only subscribed rooms come, each once, and none after unsubscribe has resolved', async (t) => {
    const server = await Server.start(t, options)
    const [one, other] = [newRoom(), newRoom()]
    await server.broker.subscribe(one)
    await server.broker.subscribe(one)
    await server.publish(other, '1')
    await server.publish(one, '2')
    t.equal((await server.heard(one, 1)).length, 1, 'once, however often it was subscribed to')
    t.same(server.of(other), [])

    const publishing = server.publish(one, '3', '4', '5')
    await server.call((broker) => broker.unsubscribe(one))
    const before = server.of(one).length
    await publishing
    await server.publish(one, '6')
    await pause()
    t.equal(server.of(one).length, before)
    await server.broker.unsubscribe(one)
    await server.broker.unsubscribe(newRoom())
  })

  t.test('subscribe and unsubscribe are obeyed in the order they are called', async (t) => {
    const server = await Server.start(t, options)
    const [kept, left] = [newRoom(), newRoom()]
    const { broker } = server
    await Promise.all([broker.subscribe(kept), broker.unsubscribe(kept), broker.subscribe(kept), broker.unsubscribe(kept), broker.subscribe(kept)])
    await Promise.all([broker.subscribe(left), broker.unsubscribe(left), broker.subscribe(left), broker.unsubscribe(left)])
    await server.publish(left, '1')
    await server.publish(kept, '2')
    t.same((await server.heard(kept, 1)).map(({ text }) => text), ['2'])
    t.same(server.of(left), [])
  })

  t.test('positions: the top of each room, in the order given', async (t) => {
    const server = await Server.start(t, options)
    const rooms = Array.from({ length: 50 }, newRoom)
    for (const [i, room] of rooms.entries()) if (i % 2 === 0) await server.publish(room, '1', '2')
    const seen = await Promise.all(rooms.map((room) => server.broker.subscribe(room)))
    const asked = rooms.map((room, i) => ({ room, seen: seen[i]! }))
    t.same(await server.broker.positions(asked), seen, 'as subscribe told')
    const [id] = await server.publish(rooms[7] as string, '3')
    t.same(await server.broker.positions([asked[7]!, asked[8]!, asked[7]!]), [id, seen[8], id])
    t.same(await server.broker.positions([]), [])
  })

  if (options.refused !== undefined) {
    const refused = options.refused
    t.test('an entry that is refused does not sink the others', async (t) => {
      const server = await Server.start(t, options)
      const room = newRoom()
      await server.broker.subscribe(room)
      const [first, second, third] = await server.broker.publish([{ room, text: '1' }, { room, ...refused }, { room, text: '3' }])
      t.ok(second instanceof Error)
      t.notOk(first instanceof Error || third instanceof Error)
      t.same((await server.heard(room, 2)).map(({ text }) => text), ['1', '3'])
    })
  }

  if (options.alone === true) return
  t.test('two servers: the same messages, ids and order, whoever publishes', async (t) => {
    const [one, other] = [await Server.start(t, options), await Server.start(t, options)]
    const room = newRoom()
    const start = await one.broker.subscribe(room)
    await other.broker.subscribe(room)
    await Promise.all([one, other].map(async (server, s) => { for (let i = 0; i < 50; i++) await server.publish(room, JSON.stringify([s, i])) }))
    const messages = await one.heard(room, 100)
    chain(t, start, messages)
    t.same(await other.heard(room, 100), messages)
  })
}

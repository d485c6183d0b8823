import type { Outgoing, Published } from '../../../lib/brokers/broker.js'
import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { accepted, newRoom, pause, same } from './server.js'

/** Publishing under a key. */
export const idempotency: Tests = {
  'a key within its time: the first answer, and nothing is published': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    const [first] = accepted(await server.broker.publish([{ room, text: '1', idempotencyKey: 'a' }]))
    same(first?.duplicate, false, 'the first time')
    await server.publish(room, '2')
    const again = accepted(await server.broker.publish([{ room, text: '"the text is not compared"', idempotencyKey: 'a' }]))
    same(again, [{ id: first?.id, duplicate: true }], 'the first answer')
    const mixed = accepted(await server.broker.publish([{ room, text: '3', idempotencyKey: 'A' }, { room, text: '"again"', idempotencyKey: 'a' }, { room, text: '4' }]))
    same(mixed.map(({ duplicate }) => duplicate), [false, true, false], 'another key, the same one, and none')
    same((await server.heard(room, 4)).map(({ text }) => text), ['1', '2', '3', '4'], 'a duplicate is not published')
    const [top] = await server.broker.positions([{ room, seen: mixed[2]!.id }])
    same(top, mixed[2]!.id, 'nor does it take a position')
  },

  'a key counts for its room': async (stage) => {
    const server = await stage.start()
    const rooms = [newRoom(), newRoom(), newRoom()]
    const batch = rooms.map((room) => ({ room, text: '1', idempotencyKey: 'a' }))
    const first = accepted(await server.broker.publish(batch))
    same(first.map(({ duplicate }) => duplicate), [false, false, false], 'the first in each room')
    same(await server.broker.publish(batch), first.map(({ id }) => ({ id, duplicate: true })), 'each room its own answer')
  },

  'a key twice in one batch, and many times at once: published once': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    const message: Outgoing = { room, text: '1', idempotencyKey: 'a' }
    const [one, two] = accepted(await server.broker.publish([message, message]))
    same([one?.duplicate, two], [false, { id: one?.id, duplicate: true }], 'twice in one batch')

    const results = await Promise.all(Array.from({ length: 20 }, () => server.broker.publish([{ room, text: '2', idempotencyKey: 'b' }])))
    const answers = results.map((result) => accepted(result)[0] as Published)
    same(answers.filter(({ duplicate }) => !duplicate).length, 1, 'one of many is the first')
    for (const { id } of answers) same(id, answers[0]!.id, 'one id for all')
    same((await server.heard(room, 2)).map(({ text }) => text), ['1', '2'], 'each once')
  },

  'keys and rooms do not run into each other': async (stage) => {
    const server = await stage.start()
    const run = newRoom()
    const pairs: Array<[string, string]> = [['a', 'b:c'], ['a:b', 'c'], ['a"', 'b'], ['a', '"b'], ['a', 'b'], ['{a}', 'b'], ['a', ''], ['a', '__proto__'], ['a', 'é'], ['a', 'e\u0301'], ['a', 'x'.repeat(128)], ['a', '\u0000']]
    const results = accepted(await server.broker.publish(pairs.map(([room, idempotencyKey]) => ({ room: run + room, text: '1', idempotencyKey }))))
    for (const [i, { duplicate }] of results.entries()) same(duplicate, false, `the key ${JSON.stringify(pairs[i]![1])} in the room ${JSON.stringify(pairs[i]![0])}`)
  },

  'a key is forgotten after its time': async (stage) => {
    const ttl = 1_000
    const server = await stage.start({ idempotencyTtl: ttl })
    const room = newRoom()
    const publish = async (): Promise<boolean> => accepted(await server.broker.publish([{ room, text: '1', idempotencyKey: 'a' }]))[0]!.duplicate
    const started = performance.now()
    same(await publish(), false, 'the first time')
    // It runs from the first acceptance: asking again, over and over, does not lengthen it.
    const deadline = started + ttl + Math.max(stage.timeout, ttl)
    while (await publish()) {
      assert.ok(performance.now() < deadline, 'the key is forgotten in the end')
      await pause(5)
    }
    assert.ok(performance.now() - started >= 0.9 * ttl, 'and not before its time')
  }
}

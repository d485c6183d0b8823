import type { Test } from 'tap'
import type { Outgoing } from '../../../lib/brokers/broker.js'
import type { ContractOptions } from './server.js'
import { accepted, newRoom, pause, Server, until } from './server.js'

/** Publishing under a key. */
export function idempotency (t: Test, options: ContractOptions): void {
  t.test('a key within its time: the first answer, and nothing is published', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    await server.broker.subscribe(room)
    const [first] = accepted(await server.broker.publish([{ room, text: '1', idempotencyKey: 'a' }]))
    t.equal(first?.duplicate, false)
    await server.publish(room, '2')
    const again = accepted(await server.broker.publish([{ room, text: '"the text is not compared"', idempotencyKey: 'a' }]))
    t.same(again, [{ id: first?.id, duplicate: true }])
    const [other] = accepted(await server.broker.publish([{ room, text: '3', idempotencyKey: 'A' }]))
    t.equal(other?.duplicate, false, 'another key')
    t.same((await server.heard(room, 3)).map(({ text }) => text), ['1', '2', '3'])
  })

  t.test('a key counts for its room', async (t) => {
    const server = await Server.start(t, options)
    const rooms = [newRoom(), newRoom(), newRoom()]
    const batch = rooms.map((room) => ({ room, text: '1', idempotencyKey: 'a' }))
    const first = accepted(await server.broker.publish(batch))
    t.same(first.map(({ duplicate }) => duplicate), [false, false, false])
    t.same(await server.broker.publish(batch), first.map(({ id }) => ({ id, duplicate: true })))
  })

  t.test('a key twice in one batch, and many times at once: published once', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    await server.broker.subscribe(room)
    const message: Outgoing = { room, text: '1', idempotencyKey: 'a' }
    const [one, two] = accepted(await server.broker.publish([message, message]))
    t.same(two, { id: one?.id, duplicate: true })

    const results = await Promise.all(Array.from({ length: 20 }, () => server.broker.publish([{ room, text: '2', idempotencyKey: 'b' }])))
    const answers = results.map((result) => accepted(result)[0]!)
    t.equal(answers.filter(({ duplicate }) => !duplicate).length, 1)
    t.equal(new Set(answers.map(({ id }) => `${id.epoch}-${id.offset}`)).size, 1, 'one id for all')
    t.same((await server.heard(room, 2)).map(({ text }) => text), ['1', '2'])
  })

  t.test('keys and rooms do not run into each other', async (t) => {
    const server = await Server.start(t, options)
    const run = newRoom()
    const pairs: Array<[string, string]> = [['a', 'b:c'], ['a:b', 'c'], ['a"', 'b'], ['a', '"b'], ['a', 'b'], ['{a}', 'b'], ['a', ''], ['a', '__proto__'], ['a', 'é'], ['a', 'e\u0301'], ['a', 'x'.repeat(128)], ['a', '\u0000']]
    const results = accepted(await server.broker.publish(pairs.map(([room, idempotencyKey]) => ({ room: run + room, text: '1', idempotencyKey }))))
    t.ok(results.every(({ duplicate }) => !duplicate))
  })

  t.test('a key is forgotten after its time', async (t) => {
    const server = await Server.start(t, options, { idempotencyTtl: 1_000 })
    const room = newRoom()
    const publish = async (): Promise<{ duplicate: boolean }> => accepted(await server.broker.publish([{ room, text: '1', idempotencyKey: 'a' }]))[0]!
    const started = performance.now()
    t.equal((await publish()).duplicate, false)
    const within = await publish()
    if (performance.now() - started < 900) t.equal(within.duplicate, true)
    // It runs from the first acceptance: asking again does not lengthen it.
    await until(async () => !(await publish()).duplicate, 'the key to be forgotten', 5_000)
    t.ok(performance.now() - started >= 900, 'not before its time')
  })

  if (options.alone === true) return
  t.test('a key is known to all servers', async (t) => {
    const [one, other] = [await Server.start(t, options), await Server.start(t, options)]
    const room = newRoom()
    const message = { room, text: '1', idempotencyKey: 'a' }
    const [first] = accepted(await one.broker.publish([message]))
    await pause()
    t.same(await other.broker.publish([message]), [{ id: first?.id, duplicate: true }])
  })
}

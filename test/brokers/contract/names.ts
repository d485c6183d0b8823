import type { Test } from 'tap'
import type { ContractOptions } from './server.js'
import { randomUUID } from 'node:crypto'
import { accepted, newRoom, pause, Server } from './server.js'

// Each means something to some broker, or to JavaScript.
const HOSTILE = [
  '*', '>', '?', '[a-z]', '{}', '{a}b', 'a{', '}', '.', '..', 'a.b', 'a.*', 'a.>', '$SYS', '_INBOX.>', '%', '%2F', 'a/b', '/', '\\', '#', '+',
  ' ', ' a', 'a ', 'a b', '"', "'", '`', ':', '::', 'fan-out:1:', '-', '_', ',', ';', '&', '=', '\u0001', '\u0001:server',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'undefined', '0', '-1', 'NaN',
  'é', 'e\u0301', 'ß', 'SS', 'ss', 'İ', 'i', '房间', '🏠', '👩‍👩‍👧', '\u202e', '\ufeff', 'x'.repeat(200), 'x'.repeat(199), '房'.repeat(66)
]

/** Room names and data, as hostile as they may be. */
export function names (t: Test, options: ContractOptions): void {
  t.test('no name of a room means anything, or is another one', async (t) => {
    const server = await Server.start(t, options)
    // A broker that others use may know the short ones already: their texts are told apart by the run.
    const run = randomUUID()
    await Promise.all(HOSTILE.map((room) => server.broker.subscribe(room)))
    const text = (room: string): string => JSON.stringify({ run, room })
    const results = accepted(await server.broker.publish(HOSTILE.map((room) => ({ room, text: text(room) }))))
    await server.heard(HOSTILE.at(-1) as string, 1)
    const tops = await server.broker.positions(HOSTILE.map((room, i) => ({ room, seen: results[i]!.id })))
    for (const [i, room] of HOSTILE.entries()) {
      const mine = server.of(room).filter(({ text }) => text.includes(run))
      if (mine.length !== 1 || mine[0]?.text !== text(room)) t.same(mine.map(({ text }) => text), [text(room)], `live in ${JSON.stringify(room)}`)
      t.same(tops[i], results[i]?.id)
      if (options.window === false) continue
      const { entries } = await server.broker.read(room, { last: 1, limit: 1 })
      t.match(entries, [{ id: results[i]?.id, text: text(room) }])
    }
    await Promise.all(HOSTILE.map((room) => server.broker.unsubscribe(room)))
    const before = server.received.length
    await server.broker.publish(HOSTILE.map((room) => ({ room, text: '1' })))
    await pause()
    t.equal(server.received.length, before, 'each was left')
  })

  t.test('a text arrives as it was given', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    await server.broker.subscribe(room)
    const texts = [
      'null', '0', '-0', '1e400', '12345678901234567890', '""', '{}', '[]', '{"a":1,"a":2}', '{ "spaced" : 1 }', '{"__proto__":{"a":1}}',
      '"\\u0000\\ud800"', '"\u2028 é e\u0301 房间 👩‍👩‍👧"', '"\\n\\nid: 1-1"', '"' + 'é'.repeat(512 * 1024) + '"'
    ]
    t.equal(Buffer.byteLength(texts.at(-1) as string), 1024 * 1024 + 2, 'the last of 1 MiB')
    await server.publish(room, ...texts)
    const messages = await server.heard(room, texts.length)
    t.ok(messages.length === texts.length && messages.every(({ text }, i) => text === texts[i]), 'live')
    if (options.window === false) return
    const { entries } = await server.broker.read(room, { limit: 100 })
    t.ok(entries.length === texts.length && entries.every((entry, i) => entry.type === 'message' && entry.text === texts[i]), 'and read')
  })
}

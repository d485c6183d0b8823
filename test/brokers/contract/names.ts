import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { accepted, newRoom, pause, same } from './server.js'

// Each means something to some broker, or to JavaScript.
const HOSTILE = [
  '*', '>', '?', '[a-z]', '{}', '{a}b', 'a{', '}', '.', '..', 'a.b', 'a.*', 'a.>', '$SYS', '_INBOX.>', '%', '%2F', 'a/b', '/', '\\', '#', '+',
  ' ', ' a', 'a ', 'a b', '"', "'", '`', ':', '::', 'fan-out:1:', '-', '_', ',', ';', '&', '=', '\u0001', '\u0001:server',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'undefined', '0', '-1', 'NaN',
  'é', 'e\u0301', 'ß', 'SS', 'ss', 'İ', 'i', '房间', '🏠', '👩‍👩‍👧', '\u202e', '\ufeff', 'x'.repeat(200), 'x'.repeat(199), '房'.repeat(66)
]

/** Room names and data, as hostile as they may be. */
export const names: Tests = {
  'no name of a room means anything, or is another one': async (stage) => {
    const server = await stage.start()
    // A broker that others use may know the short ones already: their texts are told apart by the run.
    const run = randomUUID()
    await Promise.all(HOSTILE.map((room) => server.broker.subscribe(room)))
    const text = (room: string): string => JSON.stringify({ run, room })
    const results = accepted(await server.broker.publish(HOSTILE.map((room) => ({ room, text: text(room) }))))
    await server.until(() => server.received.filter(({ message }) => message.text.includes(run)).length >= HOSTILE.length, 'a message in each room')
    await pause()
    const tops = await server.broker.positions(HOSTILE.map((room, i) => ({ room, seen: results[i]!.id })))
    for (const [i, room] of HOSTILE.entries()) {
      const mine = server.of(room).filter(({ text }) => text.includes(run))
      same(mine.map(({ text }) => text), [text(room)], `live in ${JSON.stringify(room)}`)
      same(tops[i], results[i]!.id, `the top of ${JSON.stringify(room)}`)
      if (stage.options.window === false) continue
      const { entries } = await server.broker.read(room, { last: 1, limit: 1 })
      same(entries, mine, `read from ${JSON.stringify(room)}`)
    }
    // What came of one that was not left would fail the test.
    await Promise.all(HOSTILE.map((room) => server.broker.unsubscribe(room)))
    await server.broker.publish(HOSTILE.map((room) => ({ room, text: '1' })))
    await pause()
  },

  'a text arrives as it was given': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    const texts = [
      'null', '0', '-0', '1e400', '12345678901234567890', '""', '{}', '[]', '{"a":1,"a":2}', '{ "spaced" : 1 }', '{"__proto__":{"a":1}}',
      '"\\u0000\\ud800"', '"\u2028 é e\u0301 房间 👩‍👩‍👧"', '"\\n\\nid: 1-1"', '"' + 'é'.repeat(512 * 1024) + '"'
    ]
    assert.equal(Buffer.byteLength(texts.at(-1) as string), 1024 * 1024 + 2, 'the last of 1 MiB')
    await server.publish(room, ...texts)
    const messages = await server.heard(room, texts.length)
    // A difference in a MiB is not shown.
    const sameTexts = (given: ReadonlyArray<{ text: string }>): boolean => given.length === texts.length && given.every(({ text }, i) => text === texts[i])
    assert.ok(sameTexts(messages), 'live')
    if (stage.options.window === false) return
    const { entries } = await server.broker.read(room, { limit: 100 })
    assert.ok(entries.every((entry) => entry.type === 'message') && sameTexts(entries), 'and read')
  }
}

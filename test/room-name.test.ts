import fc from 'fast-check'
import { test } from 'tap'
import { isRoomName, matchesRoom } from '../lib/room-name.js'

test('a room is 1 to 200 bytes of UTF-8 without control characters', async (t) => {
  for (const name of ['a', 'chat:42', '*', '>', '{}', '__proto__', ' ', 'ü'.repeat(100), 'x'.repeat(200), '😀', 'a/b', '..']) t.ok(isRoomName(name), name)
  for (const name of ['', 'x'.repeat(201), 'ü'.repeat(101), 'a\nb', '\0', '\u007F', '\u0085', '\uD800', 'a\uDC00', 1, null, undefined, {}, ['a']]) t.notOk(isRoomName(name), JSON.stringify(name))
})

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.', ':'), maxLength: 12 })

test('patterns match as a regular expression would', async () => {
  const expected = (pattern: string, room: string): boolean =>
    new RegExp(`^${pattern.split('*').map((piece) => piece.replace(/[.]/g, '\\.')).join('.*')}$`).test(room)
  fc.assert(fc.property(letters, letters, (pattern, room) => matchesRoom(pattern, room) === expected(pattern, room)), { numRuns: 5_000 })
})

test('a pattern takes no longer for being hostile', async (t) => {
  t.notOk(matchesRoom('*a'.repeat(500) + 'b', 'a'.repeat(200)))
})

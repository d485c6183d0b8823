import type { Test } from 'tap'
import fc from 'fast-check'

/** How much is tried: `HOSTILE_FACTOR=20 npx tap test/hostile` tries twenty times as much. */
export const FACTOR = Number(process.env['HOSTILE_FACTOR'] ?? 1)

/** Parameters of a run; `HOSTILE_SEED` repeats an earlier one. */
export function parameters (t: Test, runs: number): { numRuns: number, seed: number } {
  const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 2 ** 31)
  t.comment(`HOSTILE_SEED=${seed}`)
  return { numRuns: runs * FACTOR, seed }
}

/** Names that are no rooms. */
export const badRooms = fc.oneof(
  fc.constantFrom<unknown>(
    '', '\n', 'a\nb', '\0', 'a\0', '\x7F', '\x85', '\u0001fan-out:1:control', '\uD800', 'a\uDFFF', 'x'.repeat(201), 'ü'.repeat(101), '𝄞'.repeat(51),
    'x'.repeat(10_000)
  ),
  fc.string({ minLength: 201, maxLength: 400, unit: 'binary' }),
  fc.tuple(fc.string(), fc.constantFrom('\n', '\0', '\t', '\x1B', '\uD83D'), fc.string({ maxLength: 50 })).map((parts) => parts.join(''))
)

/** What is no string, where one belongs. */
export const noStrings = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1e300, [], {}, ['a'], { toString: 'a' }, { __proto__: null }),
  fc.integer(), fc.array(fc.string(), { maxLength: 3 })
)

/** Names that look dangerous, and are rooms like any other. */
export const oddRooms = fc.oneof(
  fc.constantFrom('*', '>', '{}', '{a}b', '__proto__', 'constructor', 'toString', '..', '.', ' ', '%00', '%', '/', '//', '\\', "'", '"', '`', '$(a)', 'a.b.>', '$SYS.>', '\u2028', '\u202E', '\uFEFF', '\uFFFD', 'ü'.repeat(100), '𝄞'.repeat(50), 'x'.repeat(200), 'fan-out:1:meta'),
  fc.string({ minLength: 1, maxLength: 50, unit: 'grapheme' }).filter((name) => Buffer.byteLength(name) <= 200 && !/\p{Cc}/u.test(name))
)

/** Texts that are no cursors. */
export const badCursors = fc.oneof(
  fc.constantFrom(
    '', '-', '1', '1-', '-1', '-1-1', '1--1', 'NaN', 'NaN-NaN', '01-2', '1-02', '1-2-3', '1-2 ', ' 1-2', '1-2\n', '１-２', '1.0-2', '1e3-2', '+1-2', '0x1-2',
    `${2n ** 64n}-1`, `1-${2n ** 64n}`, '9007199254740992-0', '0-9007199254740992', 'latest', 'Earliest', 'earliest ', '$', '0', '1–2', '1-2;DROP', 'x'.repeat(10_000)
  ),
  fc.string().filter((text) => text !== 'earliest' && !/^\d+-\d+$/.test(text))
)

/** Well-formed cursors that nobody was given. */
export const forgedCursors = fc.oneof(
  fc.constantFrom('0-0', '1-0', '0-1', '9007199254740991-9007199254740991', '9007199254740991-0', '1-9007199254740991'),
  fc.tuple(fc.nat(), fc.nat()).map(([epoch, offset]) => `${epoch}-${offset}`)
)

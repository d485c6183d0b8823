import type { Cursor } from '../../lib/cursor.js'
import fc from 'fast-check'
import { test } from 'tap'
import { sameCursor } from '../../lib/cursor.js'
import { Gap, Message } from '../../lib/message.js'
import { Run } from '../../lib/rooms/run.js'

const message = (epoch: number, offset: number, text = '1'): Message => new Message('room', { epoch, offset }, text)

test('a run is continued from any of its positions, and from no other', async () => {
  // Offsets are sparse, epochs change, and a gap may open an epoch at the offset where the last one ended.
  const steps = fc.array(fc.record({ by: fc.integer({ min: 1, max: 3 }), epoch: fc.boolean(), gap: fc.boolean() }), { maxLength: 40 })
  fc.assert(fc.property(steps, fc.record({ epoch: fc.nat(8), offset: fc.nat(60) }), (steps, asked) => {
    let position: Cursor = { epoch: 0, offset: 5 }
    const run = new Run(position)
    for (const { by, epoch, gap } of steps) {
      if (gap) {
        position = { epoch: position.epoch + 1, offset: position.offset }
        run.entries.push(new Gap('room', position, 'forked'))
      } else {
        position = { epoch: position.epoch + (epoch ? 1 : 0), offset: position.offset + by }
        run.entries.push(new Message('room', position, '1'))
      }
    }
    const positions = [run.base, ...run.entries.map(({ id }) => id)]
    const expected = positions.findIndex((position) => sameCursor(position, asked))
    return run.indexAfter(asked) === expected && positions.every((position, i) => run.indexAfter(position) === i)
  }), { numRuns: 2_000 })
})

test('the tail forgets the oldest past its bytes, keeps the newest, and knows where it begins', async (t) => {
  const run = new Run({ epoch: 1, offset: 0 })
  const limit = 10 * message(1, 1).size
  for (let offset = 1; offset <= 100; offset++) {
    run.push(message(1, offset), offset, { bytes: limit, messages: 1_000, maxAge: 1_000 })
    t.ok(run.entries.length <= 10 && run.entries.length >= 1)
    t.same(run.end, { epoch: 1, offset })
    t.same(run.base, { epoch: 1, offset: offset - run.entries.length })
  }
  run.push(message(1, 101, 'x'.repeat(limit)), 101, { bytes: limit, messages: 1_000, maxAge: 1_000 })
  t.equal(run.entries.length, 1, 'however large it is')
  t.same(run.base, { epoch: 1, offset: 100 })
})

test('the tail holds no more messages than it may, nor older ones', async (t) => {
  const run = new Run({ epoch: 1, offset: 0 })
  for (let offset = 1; offset <= 20; offset++) run.push(message(1, offset), offset, { bytes: 1e6, messages: 10, maxAge: 5 })
  t.equal(run.entries.length, 10)
  t.same(run.base, { epoch: 1, offset: 10 })
  run.expire(15)
  t.same([run.base, run.entries.length], [{ epoch: 1, offset: 14 }, 6])
  run.expire(100)
  t.same([run.base, run.end, run.entries.length], [{ epoch: 1, offset: 20 }, { epoch: 1, offset: 20 }, 0])
})

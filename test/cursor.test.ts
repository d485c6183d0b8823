import fc from 'fast-check'
import { test } from 'tap'
import { formatCursor, notAfter, parseCursor, sameCursor } from '../lib/cursor.js'

const integer = fc.maxSafeNat()
const cursor = fc.record({ epoch: integer, offset: integer })

test('a cursor is its text', async () => {
  fc.assert(fc.property(cursor, (cursor) => {
    const parsed = parseCursor(formatCursor(cursor))
    return parsed !== undefined && sameCursor(parsed, cursor)
  }))
})

test('each cursor has one spelling, and nothing else is one', async (t) => {
  for (const text of ['', '-', '1', '1-', '-1', '1--1', '01-1', '1-01', '+1-1', '1-1 ', ' 1-1', '1-1\n', '1e3-1', '1.0-1', '0x1-1', 'NaN-1', '1-NaN', '١-1',
    '9007199254740992-1', '1-9007199254740992', '18446744073709551616-0', '1-1-1', 'earliest', null, undefined, 1, {}, ['1-1']]) {
    t.equal(parseCursor(text), undefined, JSON.stringify(text))
  }
  t.same(parseCursor('9007199254740991-0'), { epoch: Number.MAX_SAFE_INTEGER, offset: 0 })
  fc.assert(fc.property(fc.string(), (text) => {
    const parsed = parseCursor(text)
    return parsed === undefined || formatCursor(parsed) === text
  }))
})

test('positions of different epochs are not compared', async (t) => {
  t.ok(notAfter({ epoch: 1, offset: 2 }, { epoch: 1, offset: 2 }))
  t.notOk(notAfter({ epoch: 1, offset: 3 }, { epoch: 1, offset: 2 }))
  t.notOk(notAfter({ epoch: 1, offset: 1 }, { epoch: 2, offset: 2 }))
})

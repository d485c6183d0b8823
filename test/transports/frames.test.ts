import { test } from 'tap'
import { readFrame } from '../../lib/transports/frames.js'

test('of a frame only what it asks for is kept', async (t) => {
  const extra = { newer: 'x'.repeat(60_000), data: 'y' }
  t.strictSame(readFrame(JSON.stringify({ type: 'subscribe', room: 'a', since: '1-2', replay: 3, presence: true, ref: 4, ...extra })),
    { type: 'subscribe', room: 'a', since: { epoch: 1, offset: 2 }, replay: 3, presence: true, ref: 4 })
  t.strictSame(readFrame(JSON.stringify({ type: 'publish', room: 'a', idempotencyKey: 'k', ref: 'r', newer: extra.newer, data: 1 })),
    { type: 'publish', room: 'a', text: '1', idempotencyKey: 'k', ref: 'r' })
  t.strictSame(readFrame(JSON.stringify({ type: 'auth', token: 't', ...extra })), { type: 'auth', room: undefined, token: 't', ref: undefined })
})

test('null is what a client\'s storage has for a cursor that it never stored', async (t) => {
  t.strictSame(readFrame('{"type":"subscribe","room":"a","since":null}'), { type: 'subscribe', room: 'a', since: undefined, replay: undefined, presence: undefined, ref: undefined })
  t.match(t.throws(() => readFrame('{"type":"subscribe","room":"a","since":"x"}')), { code: 'FAN_OUT_ERR_INVALID_CURSOR', room: 'a' })
})

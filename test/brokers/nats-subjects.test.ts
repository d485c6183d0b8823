import fc from 'fast-check'
import { test } from 'tap'
import { decodeRoom, encodePrefix, encodeRoom } from '../../lib/brokers/nats/subjects.js'
import { isRoomName } from '../../lib/room-name.js'

const names = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
  fc.string({ unit: fc.constantFrom(...'.*>$~=_-ABCDEF0123456789 é€😀\u0001'), minLength: 1, maxLength: 20 })
).filter((name) => isRoomName(name.replaceAll('\u0001', 'a')))

test('a room is one token, and a token one room', (t) => {
  fc.assert(fc.property(names, (name) => {
    const token = encodeRoom(name)
    return /^[A-Za-z0-9_=-]+$/.test(token) && decodeRoom(token) === name
  }), { numRuns: 2_000 })
  fc.assert(fc.property(names, names, (one, other) => one === other || encodeRoom(one) !== encodeRoom(other)))
  t.end()
})

test('what can be read stays so', (t) => {
  t.equal(encodeRoom('News_from-2026'), 'News_from-2026')
  t.equal(encodeRoom('a.b'), 'a=2Eb')
  t.equal(encodeRoom('~meta'), '=7Emeta')
  t.equal(encodeRoom('\u0001control'), '=01control')
  t.equal(encodeRoom('é='), '=C3=A9=3D')
  t.end()
})

test('a token that no room has is nobody\'s', (t) => {
  for (const token of ['', '~meta', 'a.b', '=', '=4', '=2e', '=41', '=FF', 'a=C3', '=C3b=A9', '*', '>', 'a b']) t.equal(decodeRoom(token), undefined, token)
  t.end()
})

test('a prefix is of one or several tokens', (t) => {
  t.equal(encodePrefix('fan-out'), 'fan-out')
  t.equal(encodePrefix('live.fan out*'), 'live.fan=20out=2A')
  for (const prefix of ['', '.', 'a.', '.a', 'a..b']) t.throws(() => encodePrefix(prefix), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /keyPrefix/ }, prefix)
  t.end()
})

import type { Test } from 'tap'
import fc from 'fast-check'
import { deflateRawSync, constants } from 'node:zlib'
import { test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'
import { Bystander, holdings } from './bystander.js'
import { parameters } from './generate.js'
import { clientFrame, openRaw } from './raw.js'

const KiB = 1024
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
const PING = '{"type":"ping"}'

function startHostile (t: Test, options = {}) {
  return startApp(t, { linger: 0, ...options })
}

/** A small frame that blows up to so many bytes. */
function bomb (size: number): Buffer {
  const deflated = deflateRawSync(Buffer.alloc(size, ' '), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
  return clientFrame(deflated, { rsv: 4 })
}

/** A length that is written with eight bytes, and nothing behind it. */
function announced (length: bigint): Buffer {
  const header = Buffer.from([0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
  header.writeBigUInt64BE(length, 2)
  return header
}

const many = (frame: Buffer, count: number): Buffer => Buffer.concat(Array<Buffer>(count).fill(frame))
const fragment = (text: string, opcode: number, fin: boolean): Buffer => clientFrame(text, { opcode, fin })

const cases: Array<[string, Buffer, number, Record<string, string>?]> = [
  ['not masked', clientFrame(PING, { masked: false }), 1002],
  ['reserved bit 1', clientFrame(PING, { rsv: 4 }), 1002],
  ['reserved bit 2', clientFrame(PING, { rsv: 2 }), 1002],
  ['reserved bit 3', clientFrame(PING, { rsv: 1 }), 1002],
  ...[3, 7, 11, 15].map((opcode): [string, Buffer, number] => [`opcode ${opcode}`, clientFrame('', { opcode }), 1002]),
  ['a continuation of nothing', fragment('a', 0, true), 1002],
  ['a text inside a text', Buffer.concat([fragment('a', 1, false), fragment('a', 1, true)]), 1002],
  ['a fragmented ping', clientFrame('a', { opcode: 9, fin: false }), 1002],
  ['a ping of 126 bytes', clientFrame('x'.repeat(126), { opcode: 9 }), 1002],
  ['a close of one byte', clientFrame('x', { opcode: 8 }), 1002],
  ['a close with a code that is none', clientFrame(Buffer.from([0x03, 0xEC]), { opcode: 8 }), 1002],
  ['a close with a reason that is no UTF-8', clientFrame(Buffer.from([0x03, 0xE8, 0xFF]), { opcode: 8 }), 1007],
  ['a text that is no UTF-8', clientFrame(Buffer.from([0x22, 0xC3, 0x28, 0x22])), 1007],
  ['an overlong encoding', clientFrame(Buffer.from([0xC0, 0xAF])), 1007],
  ['a surrogate in UTF-8', clientFrame(Buffer.from([0xED, 0xA0, 0x80])), 1007],
  ['binary', clientFrame(PING, { opcode: 2 }), 1008],
  ['64 KiB and one byte', clientFrame('x'.repeat(64 * KiB + 1)), 1009],
  ['1 MiB', clientFrame('x'.repeat(1024 * KiB)), 1009],
  ['2^53 bytes, announced', announced(2n ** 53n), 1009],
  ['2^63 bytes, announced', announced(2n ** 63n), 1009],
  ['64 KiB and one byte in two fragments', Buffer.concat([fragment('x'.repeat(64 * KiB), 1, false), fragment('x', 0, true)]), 1009],
  ['129 fragments', Buffer.concat([fragment('"', 1, false), many(fragment('x', 0, false), 128)]), 1008],
  ['1,000 empty fragments', Buffer.concat([fragment('', 1, false), many(fragment('', 0, false), 1_000)]), 1008],
  ['a flood of frames', many(clientFrame(PING), 300), 4429],
  ['a flood of frames that are refused', many(clientFrame('{"type":"subscribe"}'), 300), 4429],
  ['a flood of unsolicited pongs', many(clientFrame('', { opcode: 10 }), 300), 4429],
  ['a compression bomb', bomb(64 * 1024 * KiB), 1009, DEFLATE],
  ['a compression bomb in a fragment', Buffer.concat([bomb(64 * 1024 * KiB), clientFrame('')]), 1009, DEFLATE],
  ['what is compressed and does not unpack', clientFrame(Buffer.from('not deflate at all'), { rsv: 4 }), 1007, DEFLATE]
]

test('bytes that break the protocol close the connection, and say why', async (t) => {
  const { app, url } = await startHostile(t, { compression: true })
  const bystander = await Bystander.start(t, app, url)
  for (const [name, bytes, code, headers] of cases) {
    const room = newRoom()
    const client = await openRaw(t, url, `/rooms?room=${room}`, headers)
    await client.message({ type: 'subscribed' })
    client.write(bytes)
    t.equal(await client.close(), code, name)
    client.socket.destroy()
  }
  await bystander.prove(t)
})

test('a client is told why although it has yet to read what was sent before', async (t) => {
  const { app, url } = await startHostile(t)
  const room = newRoom()
  const client = await openRaw(t, url, `/rooms?room=${room}`)
  await client.message({ type: 'subscribed' })
  client.socket.pause()
  // More than the kernel holds for a client that does not read, and written at once, since the client would be too slow for more.
  await app.rooms.publishMany(Array.from({ length: 8 }, () => ({ room, data: 'x'.repeat(1000 * KiB) })))
  await until(() => app.rooms.stats().delivered === 8)
  client.write(clientFrame('x'.repeat(64 * KiB + 1)))
  client.socket.resume()
  t.equal(await client.close(), 1009)
  t.equal(client.messages.filter(({ type }) => type === 'message').length, 8)
})

test('a flood of pings', async (t) => {
  const { app, url } = await startHostile(t)
  const bystander = await Bystander.start(t, app, url)
  for (const reads of [true, false]) {
    const client = await openRaw(t, url)
    if (!reads) client.socket.pause()
    client.write(many(clientFrame('x'.repeat(125), { opcode: 9 }), 20_000))
    client.socket.on('drain', () => client.socket.resume())
    client.socket.resume()
    const code = await client.close()
    t.ok([4429, 1006].includes(code), `closed with ${code}`)
    t.ok(client.frames.length < 250, `${client.frames.length} frames were answered`)
  }
  await bystander.prove(t)
})

test('one byte at a time', async (t) => {
  const { url } = await startHostile(t, { clientPublish: true, authorize: () => true })
  const room = newRoom()
  const client = await openRaw(t, url)
  const data = 'ü€𝄞'.repeat(20)
  const bytes = Buffer.concat([
    clientFrame(JSON.stringify({ type: 'subscribe', room, ref: 'ä' })),
    fragment('{"type":"publish","ro', 1, false), clientFrame('between', { opcode: 9 }), fragment(`om":"${room}",`, 0, false), fragment(`"data":"${data}"}`, 0, true)
  ])
  for (const byte of bytes) {
    client.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
  await client.message({ type: 'message', data })
  t.equal(client.messages.find(({ type }) => type === 'subscribed')?.['ref'], 'ä')
  t.equal(client.frames.find(({ opcode }) => opcode === 10)?.payload.toString(), 'between')
})

test('a large frame in small pieces', async (t) => {
  const { url } = await startHostile(t, { clientPublish: true, authorize: () => true })
  const room = newRoom()
  const client = await openRaw(t, url, `/rooms?room=${room}`)
  const data = 'x'.repeat(60_000)
  const bytes = clientFrame(JSON.stringify({ type: 'publish', room, data }))
  for (let at = 0; at < bytes.length; at += 20) {
    client.write(bytes.subarray(at, at + 20))
    if (at % 200 === 0) await new Promise(setImmediate)
  }
  await client.message({ type: 'message', data })
})

test('any bytes at all', async (t) => {
  const { app, url } = await startHostile(t, { compression: true })
  const settled = holdings(app)
  const bystander = await Bystander.start(t, app, url)
  const frame = fc.record({ payload: fc.uint8Array({ maxLength: 200 }), opcode: fc.constantFrom(0, 0, 1, 1, 2, 8, 9, 10, 3, 11), fin: fc.boolean(), rsv: fc.constantFrom(0, 0, 0, 4, 1), masked: fc.constantFrom(true, true, true, false) })
    .map(({ payload, ...options }) => clientFrame(Buffer.from(payload), options))
  const bytes = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 500 }).map((bytes) => Buffer.from(bytes)), fc.array(frame, { minLength: 1, maxLength: 10 }).map((frames) => Buffer.concat(frames)))
  await fc.assert(fc.asyncProperty(bytes, fc.boolean(), async (bytes, compression) => {
    const client = await openRaw(t, url, '/rooms', compression ? DEFLATE : {})
    client.write(bytes)
    client.write(many(clientFrame('not JSON'), 2))
    client.socket.end()
    const code = await client.close()
    if (![1000, 1002, 1005, 1006, 1007, 1008, 1009].includes(code) && !(code >= 3000 && code < 5000)) throw new Error(`closed with ${code}`)
    client.socket.destroy()
  }), parameters(t, 300))
  await bystander.prove(t)
  await bystander.end()
  await settled(t)
  await until(() => app.rooms.stats().connections.websocket === 0)
})

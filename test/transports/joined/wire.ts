import assert from 'node:assert/strict'
import { constants, inflateRawSync } from 'node:zlib'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads what a server sends, byte by byte, and throws at the first that may not stand where it stands. */
abstract class Wire {
  head = ''
  #rest: Buffer = Buffer.alloc(0)
  readonly #begins: RegExp

  /** `begins`: the answer that it has to be. */
  constructor (begins: RegExp) {
    this.#begins = begins
  }

  push (chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (this.#rest.length > 0) {
      const taken = this.head === '' ? this.#takeHead(this.#rest) : this.take(this.#rest)
      if (taken === 0) return
      this.#rest = this.#rest.subarray(taken)
    }
  }

  /** Whether all that came was whole. */
  get whole (): boolean {
    return this.#rest.length === 0
  }

  #takeHead (bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n')
    if (end < 0) return 0
    this.head = bytes.toString('latin1', 0, end)
    assert.match(this.head, this.#begins)
    return end + 4
  }

  /** How many bytes it has taken, 0 where more have to come first. */
  protected abstract take (bytes: Buffer): number
}

export type OnFrame = (frame: { type: string, [field: string]: any }, text: string) => void

/** The frames of a WebSocket (RFC 6455, section 5.2, and RFC 7692), as a server of ours may send them. */
export class FrameWire extends Wire {
  /** Of the close frame, after which nothing comes. */
  closeCode: number | undefined
  readonly #onFrame: OnFrame
  readonly #onClose: () => void

  constructor (onFrame: OnFrame, onClose: () => void) {
    super(/^HTTP\/1.1 101 /)
    this.#onFrame = onFrame
    this.#onClose = onClose
  }

  protected take (bytes: Buffer): number {
    assert.equal(this.closeCode, undefined, 'bytes behind a close frame')
    if (bytes.length < 2) return 0
    const [first, second] = bytes as unknown as [number, number]
    const opcode = first & 0x0F
    const compressed = (first & 0x40) !== 0
    assert.equal(first & 0xB0, 0x80, `a frame is one fragment, and has no bits that mean nothing: ${first}`)
    assert.ok([1, 8, 9, 10].includes(opcode), `opcode ${opcode}`)
    assert.ok(second < 128, 'a frame of a server is not masked')
    const header = second < 126 ? 2 : second === 126 ? 4 : 10
    if (bytes.length < header) return 0
    const length = header === 2 ? second : header === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
    assert.ok(header === 2 || length >= (header === 4 ? 126 : 65_536), `a length of ${length} in a header of ${header} bytes`)
    assert.ok(length < 2 ** 24, `a frame of ${length} bytes`)
    assert.ok(opcode === 1 || (length < 126 && !compressed), 'a control frame is short, and not compressed')
    assert.ok(!compressed || /^sec-websocket-extensions: permessage-deflate/im.test(this.head), 'compressed, which was not agreed on')
    if (bytes.length < header + length) return 0
    const payload = bytes.subarray(header, header + length)
    if (opcode === 8) {
      this.closeCode = payload.length < 2 ? 1005 : payload.readUInt16BE(0)
      this.#onClose()
    }
    if (opcode === 1) this.#text(compressed ? inflate(payload) : payload)
    return header + length
  }

  #text (payload: Buffer): void {
    const text = decoder.decode(payload)
    const frame = JSON.parse(text)
    assert.equal(JSON.stringify(frame).length, text.length, 'no byte more than its JSON needs')
    this.#onFrame(frame, text)
  }
}

const EMPTY = Buffer.from([0, 0, 0xFF, 0xFF])

/** A message without context (RFC 7692, section 7.2.2). */
function inflate (payload: Buffer): Buffer {
  const inflated = inflateRawSync(Buffer.concat([payload, EMPTY]), { finishFlush: constants.Z_SYNC_FLUSH })
  assert.ok(!payload.subarray(-4).equals(EMPTY), 'the empty block that a flush ends with is left out')
  assert.ok(payload.length < inflated.length, `${inflated.length} bytes were compressed to ${payload.length}`)
  return inflated
}

export type OnEvent = (event: { event: string, id: string, data: string }) => void

/** A chunked response (RFC 9112, section 7.1) of Server-Sent Events, with the lines that ours have and no others. */
export class EventWire extends Wire {
  ended = false
  #text: Buffer = Buffer.alloc(0)
  readonly #onEvent: OnEvent

  constructor (onEvent: OnEvent) {
    super(/^HTTP\/1.1 200 [^]*^transfer-encoding: chunked/im)
    this.#onEvent = onEvent
  }

  protected take (bytes: Buffer): number {
    assert.ok(!this.ended, 'bytes behind the last chunk')
    const line = bytes.indexOf('\r\n')
    if (line < 0) return 0
    const size = bytes.toString('latin1', 0, line)
    assert.match(size, /^[0-9a-f]{1,6}$/i, 'the size of a chunk')
    const [start, length] = [line + 2, parseInt(size, 16)]
    if (bytes.length < start + length + 2) return 0
    assert.equal(bytes.toString('latin1', start + length, start + length + 2), '\r\n', 'the end of a chunk')
    this.ended = length === 0
    this.#events(bytes.subarray(start, start + length))
    return start + length + 2
  }

  #events (bytes: Buffer): void {
    this.#text = Buffer.concat([this.#text, bytes])
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      const block = decoder.decode(this.#text.subarray(0, end))
      this.#text = this.#text.subarray(end + 2)
      if (/^(?:retry: \d{4}|:)$/.test(block)) continue
      const [, event = 'message', id, data] = /^(?:event: (subscribed|gap|unsubscribed)\n)?id: (\d+-\d+)\ndata: (.*)$/.exec(block) ?? []
      assert.ok(id !== undefined && data !== undefined, `no event: ${block.slice(0, 200)}`)
      this.#onEvent({ event, id, data })
    }
  }
}

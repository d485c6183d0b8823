import type { Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { MARKER } from '../message.js'

/** What a client connects to, and what it says there. */
export interface Target {
  url: string
  path: string
  headers: Record<string, string>
  /** Sent behind the upgrade. */
  frames: string[]
  joined: string
  /** How often `joined` has to come before the client is in. */
  joins: number
  keepAlive: { ping: string, pong: string } | undefined
  /** The bytes of a message's data: no frame with a message is smaller. */
  smallest: number
}

export interface Listener {
  joined (): void
  /** So many more messages. */
  messages (count: number): void
  pong (): void
  failed (error: Error): void
}

// Everything is consumed before the callback returns, so one buffer does for all sockets.
const shared = Buffer.allocUnsafeSlow(256 * 1024)

const [TEXT, CLOSE, PING, PONG] = [0x1, 0x8, 0x9, 0xA]

/**
 * A WebSocket client that counts messages and costs next to nothing: it reads the headers of the frames and skips what is
 * in them. A frame of less than two messages is one message; only larger ones are searched for what is in them.
 */
export class Client {
  readonly #socket: Socket
  readonly #target: Target
  readonly #listener: Listener
  /** Messages received. */
  received = 0
  #upgraded = false
  #joins: number
  /** The end of what was read, where it breaks off within a header, or within a frame that is needed whole. */
  #cut: Buffer | undefined
  /** What is still to come of the frame that is being skipped. */
  #left = 0
  #searched = false
  /** The last bytes searched, since the marker may stand across two reads. */
  #tail = Buffer.alloc(0)

  constructor (target: Target, listener: Listener) {
    this.#target = target
    this.#listener = listener
    this.#joins = target.joins
    const { hostname, port } = new URL(target.url)
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: { buffer: shared, callback: (length) => this.#read(length) }
    })
    const headers = { host: `${hostname}:${port}`, upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64'), ...target.headers }
    this.#socket.write(`GET ${target.path} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
    this.#socket.on('error', (error) => listener.failed(new Error(`a client's connection to ${target.url} has failed`, { cause: error })))
    this.#socket.on('close', () => listener.failed(new Error(`${target.url} has closed a connection`)))
  }

  /** Whether large frames are messages: once it is in its rooms nothing else is as large. */
  get #counts (): boolean {
    return this.#joins === 0 && this.#target.joins > 0
  }

  ping (): void {
    this.#send(PING, Buffer.alloc(0))
  }

  destroy (): void {
    this.#socket.removeAllListeners('close')
    // By a reset, so that no port is kept waiting.
    this.#socket.resetAndDestroy()
  }

  #read (length: number): boolean {
    try {
      const before = this.received
      if (this.#cut === undefined) {
        this.#consume(shared, length)
      } else {
        const whole = Buffer.concat([this.#cut, shared.subarray(0, length)])
        this.#cut = undefined
        this.#consume(whole, whole.length)
      }
      if (this.received > before) this.#listener.messages(this.received - before)
    } catch (error) {
      this.#listener.failed(error as Error)
    }
    return true
  }

  #consume (bytes: Buffer, end: number): void {
    let at = this.#upgraded ? 0 : this.#upgrade(bytes, end)
    while (at < end) {
      if (this.#left > 0) {
        const next = Math.min(end, at + this.#left)
        if (this.#searched) this.#search(bytes.subarray(at, next))
        this.#left -= next - at
        if (this.#left === 0 && !this.#searched) this.received++
        at = next
        continue
      }
      const from = payloadStart(bytes, at, end)
      if (from > end) break
      const size = payloadSize(bytes, at)
      // FIN, no extension, not masked.
      if ((bytes[at]! & 0xF0) !== 0x80 || (bytes[at + 1]! & 0x80) !== 0) throw new Error(`an unexpected frame, 0x${bytes.toString('hex', at, at + 2)}`)
      if (this.#counts && size >= this.#target.smallest) {
        this.#left = size
        this.#searched = size >= 2 * this.#target.smallest
        this.#tail = this.#tail.subarray(0, 0)
        at = from
      } else {
        if (from + size > end) break
        this.#take(bytes[at]! & 0xF, bytes.subarray(from, from + size))
        at = from + size
      }
    }
    if (at < end) this.#cut = Buffer.from(bytes.subarray(at, end))
  }

  /** Answers where the frames begin. */
  #upgrade (bytes: Buffer, end: number): number {
    const head = bytes.toString('latin1', 0, end)
    const blank = head.indexOf('\r\n\r\n')
    if (blank < 0) return 0
    if (!head.startsWith('HTTP/1.1 101')) throw new Error(`${this.#target.url}${this.#target.path} answers ${head.slice(0, 200)}`)
    this.#upgraded = true
    for (const frame of this.#target.frames) this.#send(TEXT, Buffer.from(frame))
    if (this.#joins === 0) this.#listener.joined()
    return blank + 4
  }

  /** A frame that is looked at whole. */
  #take (opcode: number, payload: Buffer): void {
    if (opcode === PING) return this.#send(PONG, payload)
    if (opcode === PONG) return this.#listener.pong()
    if (opcode === CLOSE) throw new Error(`${this.#target.url} closes with ${payload.length < 2 ? 1005 : payload.readUInt16BE()} ${payload.toString('utf8', 2)}`)
    const { keepAlive, joined } = this.#target
    if (keepAlive !== undefined && payload.equals(Buffer.from(keepAlive.ping))) return this.#send(TEXT, Buffer.from(keepAlive.pong))
    this.received += occurrences(payload, MARKER)
    if (this.#joins === 0) return
    this.#joins -= occurrences(payload, Buffer.from(joined))
    if (this.#joins === 0) this.#listener.joined()
  }

  #search (piece: Buffer): void {
    const reach = MARKER.length - 1
    const seam = Buffer.concat([this.#tail, piece.subarray(0, reach)])
    this.received += occurrences(seam, MARKER) + occurrences(piece, MARKER)
    this.#tail = Buffer.from(piece.length < reach ? seam.subarray(-reach) : piece.subarray(-reach))
  }

  #send (opcode: number, payload: Buffer): void {
    // A mask of zeros is as good as another, and leaves the payload as it is.
    const header = Buffer.alloc(payload.length < 126 ? 6 : 8)
    header[0] = 0x80 | opcode
    header[1] = 0x80 | Math.min(payload.length, 126)
    if (payload.length > 125) header.writeUInt16BE(payload.length, 2)
    this.#socket.write(Buffer.concat([header, payload]))
  }
}

/** Where the payload of the frame at `at` begins; beyond `end` where its header is not whole yet. */
function payloadStart (bytes: Buffer, at: number, end: number): number {
  if (at + 2 > end) return end + 1
  const length = bytes[at + 1]! & 0x7F
  const start = at + (length < 126 ? 2 : length === 126 ? 4 : 10)
  return start > end ? end + 1 : start
}

function payloadSize (bytes: Buffer, at: number): number {
  const length = bytes[at + 1]! & 0x7F
  return length < 126 ? length : length === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
}

function occurrences (bytes: Buffer, wanted: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + wanted.length)) count++
  return count
}

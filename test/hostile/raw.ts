import type { Test } from 'tap'
import type { Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { until } from '../helpers.js'

/** One frame as it stood on the wire. */
export interface RawFrame { opcode: number, fin: boolean, rsv: number, payload: Buffer }

export interface FrameOptions { opcode?: number, fin?: boolean, rsv?: number, masked?: boolean }

/** A frame of a client, right or wrong (RFC 6455, section 5.2). */
export function clientFrame (payload: string | Buffer, { opcode = 1, fin = true, rsv = 0, masked = true }: FrameOptions = {}): Buffer {
  const data = Buffer.from(payload)
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const flag = masked ? 0x80 : 0
  let header: Buffer
  if (data.length < 126) {
    header = Buffer.from([first, flag | data.length])
  } else if (data.length < 65536) {
    header = Buffer.from([first, flag | 126, 0, 0])
    header.writeUInt16BE(data.length, 2)
  } else {
    header = Buffer.alloc(10)
    header[0] = first
    header[1] = flag | 127
    header.writeBigUInt64BE(BigInt(data.length), 2)
  }
  if (!masked) return Buffer.concat([header, data])
  const mask = randomBytes(4)
  for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) ^ (mask[i % 4] as number)
  return Buffer.concat([header, mask, data])
}

/** A WebSocket client without a WebSocket library: it can send anything, and keep from reading. */
export class RawClient {
  readonly socket: Socket
  readonly frames: RawFrame[] = []
  head = ''
  ended = false
  #buffer = Buffer.alloc(0)

  constructor (socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('close', () => { this.ended = true })
    socket.on('error', () => {})
  }

  /** The text frames, parsed. */
  get messages (): Array<{ type: string, [field: string]: any }> {
    return this.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => JSON.parse(payload.toString()))
  }

  /** The code of the close frame, 1006 where the connection ended without one. */
  get closeCode (): number | undefined {
    const close = this.frames.find(({ opcode }) => opcode === 8)
    if (close !== undefined) return close.payload.length < 2 ? 1005 : close.payload.readUInt16BE(0)
    return this.ended ? 1006 : undefined
  }

  send (frame: object | string, options?: FrameOptions): void {
    this.write(clientFrame(typeof frame === 'string' ? frame : JSON.stringify(frame), options))
  }

  write (bytes: Buffer | string): void {
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  async message (fields: object): Promise<{ type: string, [field: string]: any }> {
    const wanted = Object.entries(fields)
    return await until(() => this.messages.find((message) => wanted.every(([name, value]) => message[name] === value)),
      `a frame with ${JSON.stringify(fields)}, among ${JSON.stringify(this.messages).slice(-500)}`)
  }

  async close (): Promise<number> {
    return await until(() => this.closeCode, 'the close of a raw WebSocket')
  }

  #take (chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    if (this.head === '') {
      const end = this.#buffer.indexOf('\r\n\r\n')
      if (end < 0) return
      this.head = this.#buffer.subarray(0, end).toString()
      this.#buffer = this.#buffer.subarray(end + 4)
    }
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) this.frames.push(frame)
  }

  #next (): RawFrame | undefined {
    const buffer = this.#buffer
    if (buffer.length < 2) return undefined
    const first = buffer[0] as number
    let length = (buffer[1] as number) & 0x7F
    let at = 2
    if (length === 126) {
      if (buffer.length < 4) return undefined
      length = buffer.readUInt16BE(2)
      at = 4
    } else if (length === 127) {
      if (buffer.length < 10) return undefined
      length = Number(buffer.readBigUInt64BE(2))
      at = 10
    }
    if (buffer.length < at + length) return undefined
    this.#buffer = buffer.subarray(at + length)
    return { opcode: first & 0x0F, fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, payload: Buffer.from(buffer.subarray(at, at + length)) }
  }
}

/** The bytes of an opening handshake. */
export function handshake (url: string, path = '/rooms', headers: Record<string, string> = {}): string {
  const lines = Object.entries({
    Host: new URL(url).host,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** A TCP connection to the server, destroyed when the test ends. */
export async function dial (t: Test, url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.setNoDelay(true)
  t.teardown(() => socket.destroy())
  const client = new RawClient(socket)
  await once(socket, 'connect')
  return client
}

/** Opens a WebSocket by hand, and waits for its welcome. */
export async function openRaw (t: Test, url: string, path?: string, headers?: Record<string, string>): Promise<RawClient> {
  const client = await dial(t, url)
  client.write(handshake(url, path, headers))
  await client.message({ type: 'welcome' })
  return client
}

import type { Socket } from 'node:net'
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { clientFrame, handshake } from '../../hostile/raw.js'
import { EventWire, FrameWire } from './wire.js'

/** What a client was given between one `subscribed` and the end of it. */
export interface Session {
  room: string
  /** What it asked to be continued from. */
  since: string | undefined
  from: string
  /** The ids of the messages, in the order of coming. */
  ids: string[]
  open: boolean
  /** It ended with its connection. */
  cut: boolean
}

/** What is known of all messages: the text of each by its number, and where it went. */
export type Published = Array<{ room: string, text: string }>

/** A client that holds each byte it is sent against what it may be, and keeps the ids of its messages. */
export abstract class Reader {
  readonly sessions: Session[] = []
  readonly socket: Socket
  /** What was wrong with what came. */
  wrong: Error | undefined
  closed = false
  /** It went by itself. */
  left = false
  readonly #published: Published
  protected abstract readonly wire: { push (chunk: Buffer): void, readonly whole: boolean }

  constructor (address: string | { port: number }, published: Published) {
    this.#published = published
    this.socket = typeof address === 'string' ? connect(address) : connect(address.port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk: Buffer) => this.check(() => this.wire.push(chunk)))
    this.socket.on('close', () => {
      this.closed = true
      for (const session of this.sessions) {
        session.cut = session.open
        session.open = false
      }
    })
  }

  /** Whether the server has ended it as one that is too slow: with 4408, or in the middle of something. */
  abstract get cutOff (): boolean

  protected check (work: () => void): void {
    try {
      if (this.wrong === undefined) work()
    } catch (error) {
      this.wrong = error as Error
    }
  }

  openSession (room: string): Session | undefined {
    return this.sessions.find((session) => session.room === room && session.open)
  }

  /** The last id that it has of a room: what it would resume with. */
  last (room: string): string | undefined {
    const session = this.sessions.findLast((session) => session.room === room)
    return session?.ids.at(-1) ?? session?.from
  }

  protected begin (room: string, since: string | undefined, { id, recovered }: { id: string, recovered?: boolean }): void {
    assert.equal(this.openSession(room), undefined, 'subscribed twice')
    const resumed = since !== undefined && since !== 'earliest'
    assert.equal(recovered, resumed ? true : undefined, 'nothing is lost here')
    if (resumed) assert.equal(id, since, 'where it goes on')
    this.sessions.push({ room, since, from: id, ids: [], open: true, cut: false })
  }

  protected message (room: string, id: string, text: string): void {
    const session = this.openSession(room)
    assert.ok(session !== undefined, 'a message of a room that is not subscribed to')
    const n = Number(/^(?:\{"n":)?(\d+)/.exec(text)?.[1])
    assert.ok(this.#published[n]?.text === text && this.#published[n]?.room === room, `no such message was published: ${text.slice(0, 50)}`)
    session.ids.push(id)
  }

  /** Reads no more, or on. */
  pause (paused: boolean): void {
    if (paused) this.socket.pause()
    else this.socket.resume()
  }

  leave (): void {
    this.left = true
    this.socket.destroy()
  }
}

interface Asked { type: 'subscribe' | 'unsubscribe' | 'publish', since?: string | undefined }

/** A WebSocket in any number of rooms. */
export class SocketReader extends Reader {
  protected readonly wire: FrameWire
  welcomed = false
  /** What was asked and not answered yet: pings, and for each room what it was asked. */
  readonly #pings: number[] = []
  readonly #asked = new Map<string, Array<Asked & { ref: number }>>()
  #refs = 0

  constructor (address: string | { port: number }, published: Published, deflate: boolean) {
    super(address, published)
    this.wire = new FrameWire((frame, text) => this.#take(frame, text), () => this.socket.end(clientFrame('', { opcode: 8 })))
    this.socket.write(handshake('http://localhost', '/rooms', deflate ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {}))
  }

  get cutOff (): boolean {
    return this.closed && (this.wire.closeCode === undefined || (this.wire.closeCode === 4408 && this.wire.whole))
  }

  /** How many answers it waits for. */
  get waiting (): number {
    return [...this.#asked.values()].reduce((sum, { length }) => sum + length, this.#pings.length)
  }

  ask (room: string, frame: Asked, text = 'null'): void {
    if (this.closed) return
    const ref = ++this.#refs
    this.#asked.set(room, [...this.#asked.get(room) ?? [], { ...frame, ref }])
    const data = frame.type === 'publish' ? `,"data":${text}` : ''
    this.socket.write(clientFrame(`${JSON.stringify({ room, ref, ...frame }).slice(0, -1)}${data}}`))
  }

  ping (): void {
    if (this.closed) return
    this.#pings.push(++this.#refs)
    this.socket.write(clientFrame(`{"type":"ping","ref":${this.#refs}}`))
  }

  #take (frame: { type: string, [field: string]: any }, text: string): void {
    const { type, room, ref, id } = frame
    assert.equal(type === 'welcome', !this.welcomed, 'the first frame, and no other, is the welcome')
    this.welcomed = true
    if (type === 'message') return this.message(room, id, text.slice(text.indexOf('"data":') + '"data":'.length, -1))
    if (type === 'pong') assert.equal(ref, this.#pings.shift(), 'pongs come in the order of the pings')
    else if (type !== 'welcome') this.#answer(this.#asked.get(room)?.shift(), frame)
  }

  /** The next answer for a room is to what was asked of it first. */
  #answer (asked: Asked & { ref: number } | undefined, { type, room, ref, code, ...answer }: { type: string, [field: string]: any }): void {
    assert.ok(asked !== undefined && asked.ref === ref, `${type} ${ref} comes where ${JSON.stringify(asked)} was to be answered`)
    if (asked.type === 'subscribe' && type === 'subscribed') return this.begin(room, asked.since, answer as { id: string })
    if (asked.type === 'publish') return assert.equal(type, 'published')
    const session = this.openSession(room)
    if (type === 'unsubscribed') {
      assert.equal(asked.type, 'unsubscribe')
      if (session !== undefined) session.open = false
    } else if (code === 'FAN_OUT_ERR_ALREADY_SUBSCRIBED') {
      assert.ok(session !== undefined, `${code}, and it is not`)
    } else {
      assert.equal(code, 'FAN_OUT_ERR_CANCELLED')
      assert.ok(this.#asked.get(room)?.some(({ type }) => type === 'unsubscribe'), 'cancelled by nothing')
    }
  }
}

/** An EventSource of one room. */
export class StreamReader extends Reader {
  protected readonly wire: EventWire

  constructor (address: string | { port: number }, published: Published, room: string, since: string | undefined) {
    super(address, published)
    this.wire = new EventWire(({ event, id, data }) => {
      if (event === 'message') return this.message(room, id, data)
      assert.equal(event, 'subscribed')
      const answer = JSON.parse(data)
      assert.equal(answer.id, id)
      this.begin(room, since, answer)
    })
    this.socket.write(`GET /rooms/${room}/events HTTP/1.1\r\nHost: localhost\r\n${since === undefined ? '' : `Last-Event-ID: ${since}\r\n`}\r\n`)
  }

  get cutOff (): boolean {
    return this.closed && !this.wire.ended
  }
}

import type { FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { Member } from '../../types/index.js'
import type { Caller } from '../access.js'
import type { FanOutError } from '../errors.js'
import type { Format } from '../message.js'
import type { Services } from '../services.js'
import type { ClientFrame } from './frames.js'
import type { Connection } from './transport.js'
import { hasExpired } from '../access.js'
import { asFanOutError, errors } from '../errors.js'
import { ProtocolViolation, readFrame, textFrame } from './frames.js'
import { WebSocketLink } from './websocket-link.js'
import { WebSocketRoom } from './websocket-room.js'

// How long a close waits for what is under way, in ms.
const LEAVING = 2_000
// Frames under way at which no more are read from the socket.
const UNDER_WAY = 64

/** One client's WebSocket: who it is, its frames, and what it is written. */
export class WebSocketConnection implements Connection {
  readonly kind = 'websocket'
  readonly id: string
  readonly address: string | undefined
  readonly services: Services

  readonly #link: WebSocketLink
  readonly #request: FastifyRequest
  readonly #rooms = new Map<string, WebSocketRoom>()
  readonly #since = performance.now()
  /** The frames that the URL stands for, until it is known who it is; and those that came while it was being found out. */
  #first: string[]
  #waiting: ClientFrame[] = []
  #identifying = false
  #caller: Caller | undefined
  #underWay = 0
  /** Since when it waits for what is under way, to be closed then. */
  #leaving: number | undefined

  /**
   * Takes a WebSocket over. Listeners are set before it returns, since the first frame can stand in the handshake's own
   * packet. `first` are the frames that the URL stands for.
   */
  static open (services: Services, websocket: WebSocket, request: FastifyRequest, first: string[]): void {
    new WebSocketConnection(services, websocket, request, first).#opened()
  }

  private constructor (services: Services, websocket: WebSocket, request: FastifyRequest, first: string[]) {
    this.services = services
    this.id = services.newConnectionId()
    this.address = request.raw.socket === undefined ? undefined : request.ip
    this.#link = new WebSocketLink(websocket, request, services.settings)
    this.#request = request
    this.#first = first
    websocket.on('message', (data, isBinary) => this.#receive(data, isBinary))
    websocket.on('ping', () => { this.#countFrame() })
    websocket.on('pong', () => { this.#countFrame() })
    websocket.on('close', () => this.#closed())
    websocket.on('error', (error) => {
      request.log.debug({ err: error }, 'fan-out: websocket error')
      this.#link.failed()
    })
  }

  #opened (): void {
    const { access, connections } = this.services
    const refusal = connections.refusal(this.address)
    connections.add(this)
    this.#welcome()
    if (refusal !== undefined) this.close(refusal)
    else void this.#identify(access.tokenOf(this.#request))
  }

  #welcome (): void {
    const { settings: { heartbeat, limits: { frame, roomsPerConnection, framesPerSecond } }, server } = this.services
    this.send({ type: 'welcome', protocol: 1, connection: this.id, server, heartbeat: heartbeat.interval, limits: { frame, roomsPerConnection, framesPerSecond } })
  }

  /** Set once it is known who it is: no frame is obeyed before. */
  get caller (): Caller {
    return this.#caller as Caller
  }

  get user (): string | undefined {
    return this.#caller?.identity?.user
  }

  get member (): Member {
    const { user, info } = this.#caller?.identity ?? {}
    return { connection: this.id, ...(user !== undefined && { user }), ...(info !== undefined && { info }) }
  }

  /** How messages are encoded for it. */
  get format (): Format {
    return this.#link.format
  }

  send (frame: object): void {
    this.#writeNow(textFrame(JSON.stringify(frame)))
  }

  /** Writes what a room has for it, see `Sink.write`. */
  write (buffer: Buffer, live: boolean, room: WebSocketRoom): boolean {
    if (!live) return this.#link.write(buffer, room)
    this.#writeNow(buffer)
    return true
  }

  /** See `Sink.ready`. */
  ready (room: WebSocketRoom): boolean {
    return this.#link.ready(room)
  }

  #writeNow (buffer: Buffer): void {
    if (this.#link.writeNow(buffer)) return
    this.services.connections.slow++
    this.close(new errors.TooSlow())
  }

  /** Answers a frame that failed; the connection lives on. */
  fail (thrown: unknown, ref: string | number | undefined, room: string | undefined): void {
    const error = asFanOutError(thrown)
    if (error instanceof errors.Internal) this.#request.log.error({ err: error.cause, room }, 'fan-out: a frame failed')
    this.send({ type: 'error', code: error.code, message: error.message, room, ref })
  }

  /** Counts what is under way, so that a client cannot heap up more than a little. */
  underWay (change: 1 | -1): void {
    this.#underWay += change
    if (this.#underWay === 0 && this.#leaving !== undefined) this.close(new errors.Closing())
    else this.#flow()
  }

  forget (room: WebSocketRoom): void {
    this.#rooms.delete(room.name)
  }

  removeFrom (room: string, reason: string): void {
    this.#rooms.get(room)?.ended(new errors.Unsubscribed(reason))
  }

  close (error: FanOutError): void {
    if (!this.#link.open) return
    if (error instanceof errors.Closing && this.#underWay > 0) {
      // What is under way is answered before, a publish above all: else its client could not know whether it was accepted.
      this.#leaving ??= performance.now()
    } else {
      this.#closeNow(error)
    }
  }

  #closeNow (error: FanOutError): void {
    for (const room of this.#rooms.values()) room.close()
    this.#link.close(error)
  }

  destroy (): void {
    if (this.#leaving !== undefined && this.#link.open) this.#closeNow(new errors.Closing())
    this.#link.destroy()
  }

  tick (now: number): void {
    if (!this.#link.open) return this.#link.tick(now)
    if (this.#leaving !== undefined) {
      if (now - this.#leaving > LEAVING) this.#closeNow(new errors.Closing())
    } else if (this.#caller === undefined) {
      if (now - this.#since > this.services.settings.limits.firstFrame) this.close(new errors.Unauthorized('no token came in time'))
    } else if (this.#expired) {
      this.close(new errors.Unauthorized('the token has expired'))
    } else {
      this.#link.tick(now)
    }
  }

  #closed (): void {
    // Nothing is obeyed from here on: who it is may be found out only now, and its rooms would have nobody to leave them.
    this.#link.ending()
    this.services.connections.remove(this)
    for (const room of this.#rooms.values()) room.close()
    this.#rooms.clear()
    this.#waiting = []
  }

  /** Counts what the client sends, of any kind; a flood ends the connection. */
  #countFrame (): boolean {
    const takes = this.#link.count()
    if (!takes) this.close(new errors.TooManyFrames())
    return takes && this.#link.open
  }

  #receive (data: RawData, isBinary: boolean): void {
    if (!this.#countFrame()) return
    const { limits } = this.services.settings
    // Already cut off by ws, unless the app registered @fastify/websocket with a larger limit of its own.
    if ((data as Buffer).length > limits.frame) return this.close(new errors.TooLarge(`a frame may have ${limits.frame} bytes`))
    if (isBinary) return this.close(new errors.InvalidFrame('it must be text'))
    const frame = this.#read(String(data))
    if (frame === undefined) return
    if (this.#identifying) this.#waiting.push(frame)
    else this.#obey(frame)
  }

  #read (text: string): ClientFrame | undefined {
    try {
      return readFrame(text)
    } catch (error) {
      const { ref, room } = error as { ref?: string | number, room?: string }
      if (error instanceof ProtocolViolation) this.close(new errors.InvalidFrame(error.message))
      else this.fail(error, ref, room)
      return undefined
    }
  }

  get #expired (): boolean {
    const identity = this.#caller?.identity ?? null
    return identity !== null && hasExpired(identity)
  }

  #obey (frame: ClientFrame): void {
    if (!this.#link.open || this.#leaving !== undefined) return
    if (this.#caller === undefined && frame.type !== 'auth') return this.close(new errors.Unauthorized('send an auth frame first'))
    // `tick` comes only once a second.
    if (frame.type !== 'auth' && this.#expired) return this.close(new errors.Unauthorized('the token has expired'))
    try {
      if (frame.type === 'ping') return this.send({ type: 'pong', ref: frame.ref })
      if (frame.type === 'auth') {
        void this.#identify(frame.token, frame)
        return
      }
      if (frame.type === 'publish' && !this.services.settings.clientPublish) throw new errors.ClientPublish()
      if (frame.type === 'publish' && this.services.connections.draining) throw new errors.Closing()
      const room = this.#roomFor(frame)
      if (frame.type === 'subscribe') room.subscribe(frame)
      else if (frame.type === 'unsubscribe') room.unsubscribe(frame)
      else room.publish(frame)
    } catch (error) {
      this.fail(error, frame.ref, 'room' in frame ? frame.room : undefined)
    }
  }

  #roomFor (frame: Extract<ClientFrame, { room: string }>): WebSocketRoom {
    let room = this.#rooms.get(frame.room)
    if (frame.type === 'subscribe' && room?.wanted !== true) {
      const { roomsPerConnection } = this.services.settings.limits
      let wanted = 0
      for (const other of this.#rooms.values()) if (other.wanted) wanted++
      if (wanted >= roomsPerConnection) throw new errors.TooManyRooms(roomsPerConnection)
    }
    if (room === undefined) this.#rooms.set(frame.room, room = new WebSocketRoom(frame.room, this))
    return room
  }

  /** Finds out who it is, at the opening and at each `auth` frame. Frames that come meanwhile wait; nothing more is read. */
  async #identify (token: string | undefined, frame?: Extract<ClientFrame, { type: 'auth' }>): Promise<void> {
    this.#identifying = true
    this.#flow()
    try {
      const caller = await this.services.access.identify(this.#request, token)
      if (!this.#link.open) return
      // In a header a token may be meant for somebody else; in a frame it is for us.
      if (frame !== undefined && caller.key === undefined && !this.services.access.authenticates) throw new errors.Unauthorized('the token is no publish key')
      const before = this.#caller
      if (before?.identity?.user !== undefined && before.identity.user !== caller.identity?.user) throw new errors.Unauthorized('the token is of another user')
      this.#caller = caller
      if (token !== undefined || caller.identity !== null) {
        const { user, expiresAt } = caller.identity ?? {}
        this.send({ type: 'authenticated', user, expiresAt, ref: frame?.ref })
      }
      if (before !== undefined) await Promise.all([...this.#rooms.values()].map((room) => room.review()))
    } catch (error) {
      // Where no token was sent there is time for an auth frame, see `tick`.
      if (token !== undefined) this.close(asFanOutError(error))
    } finally {
      this.#identifying = false
      this.#flow()
      this.#obeyWaiting()
    }
  }

  #obeyWaiting (): void {
    for (const text of this.#caller === undefined ? [] : this.#first.splice(0)) {
      const frame = this.#read(text)
      if (frame !== undefined) this.#obey(frame)
    }
    // One of them may be an auth frame, which the rest wait for again.
    while (this.#waiting.length > 0 && !this.#identifying) this.#obey(this.#waiting.shift() as ClientFrame)
  }

  /** Reads no more of the socket while frames that came cannot be obeyed. */
  #flow (): void {
    this.#link.pause(this.#identifying || this.#underWay >= UNDER_WAY)
  }
}

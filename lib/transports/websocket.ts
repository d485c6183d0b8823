import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { Member } from '../../types/index.js'
import type { Caller } from '../access.js'
import type { FanOutError } from '../errors.js'
import type { Format } from '../message.js'
import type { Services } from '../services.js'
import type { Connection } from './transport.js'
import type { WebSocketRoom } from './websocket-room.js'
import { asFanOutError, errors } from '../errors.js'
import { textFrame } from './frames.js'
import { WebSocketLink } from './websocket-link.js'
import { WebSocketReceiver } from './websocket-receiver.js'

// How long a close waits for what is under way, in ms.
const LEAVING = 2_000

const CONNECTION = Symbol('fan-out.connection')
type Owned = WebSocket & { [CONNECTION]?: WebSocketConnection }

// The same for all, who are many.
function onMessage (this: Owned, data: RawData, isBinary: boolean): void { this[CONNECTION]?.received(data, isBinary) }
function onControlFrame (this: Owned): void { this[CONNECTION]?.count() }
function onClose (this: Owned): void { this[CONNECTION]?.closed() }
function onError (this: Owned, error: Error): void { this[CONNECTION]?.failed(error) }

/** One client's WebSocket: its rooms, what it is written, and how it ends. */
export class WebSocketConnection implements Connection {
  readonly kind = 'websocket'
  readonly id: string
  readonly address: string | undefined
  readonly services: Services
  readonly rooms = new Map<string, WebSocketRoom>()

  readonly #link: WebSocketLink
  readonly #receiver: WebSocketReceiver
  readonly #log: FastifyBaseLogger
  readonly #since = performance.now()
  /** Since when it waits for what is under way, to be closed then. */
  #leaving: number | undefined

  /**
   * Takes a WebSocket over. Listeners are set before it returns, since the first frame can stand in the handshake's own
   * packet. `first` are the frames that the URL stands for.
   */
  static open (services: Services, websocket: WebSocket, request: FastifyRequest, first: object[]): void {
    new WebSocketConnection(services, websocket, request, first).#opened(services.access.tokenOf(request))
  }

  private constructor (services: Services, websocket: WebSocket, request: FastifyRequest, first: object[]) {
    this.services = services
    this.id = services.newConnectionId()
    this.address = services.connections.addressOf(request)
    this.#link = new WebSocketLink(websocket, request, services.settings)
    this.#log = request.log
    this.#receiver = new WebSocketReceiver(this, this.#link, services.access.keepable(request), first)
    const owned: Owned = websocket
    owned[CONNECTION] = this
    websocket.on('message', onMessage).on('ping', onControlFrame).on('pong', onControlFrame).on('close', onClose).on('error', onError)
  }

  received (data: RawData, isBinary: boolean): void {
    this.#receiver.receive(data, isBinary)
  }

  /** Counts a ping or a pong; ws has answered it. */
  count (): void {
    this.#receiver.count()
  }

  failed (error: Error): void {
    this.#log.debug({ err: error }, 'fan-out: websocket error')
    this.#link.failed()
  }

  #opened (token: string | undefined): void {
    const { connections } = this.services
    const refusal = connections.refusal(this.address)
    connections.add(this)
    this.#writeNow(textFrame(this.services.welcome(this.id)), true)
    if (refusal !== undefined) this.close(refusal)
    else void this.#receiver.identify(token)
  }

  /** Set once it is known who it is: no frame is obeyed before. */
  get caller (): Caller {
    return this.#receiver.caller as Caller
  }

  get user (): string | undefined {
    return this.#receiver.caller?.identity?.user
  }

  get member (): Member {
    const { user, info } = this.#receiver.caller?.identity ?? {}
    return { connection: this.id, ...(user !== undefined && { user }), ...(info !== undefined && { info }) }
  }

  /** How messages are encoded for it. */
  get format (): Format {
    return this.#link.format
  }

  send (frame: object): void {
    this.#writeNow(textFrame(JSON.stringify(frame)), true)
  }

  /** Writes what a room has for it, see `Sink.write`. */
  write (buffer: Buffer, live: boolean, room: WebSocketRoom): boolean {
    if (!live) return this.#link.write(buffer, room)
    this.#writeNow(buffer, this.rooms.size > 1)
    return true
  }

  /** See `Sink.ready`. */
  ready (room: WebSocketRoom): boolean {
    return this.#link.ready(room)
  }

  #writeNow (buffer: Buffer, joined: boolean): void {
    if (this.#link.writeNow(buffer, joined)) return
    this.services.connections.slow++
    this.close(new errors.TooSlow())
  }

  /** Answers a frame that failed; the connection lives on. */
  fail (thrown: unknown, ref: string | number | undefined, room: string | undefined): void {
    const error = asFanOutError(thrown)
    if (error instanceof errors.Internal) this.#log.error({ err: error.cause, room }, 'fan-out: a frame failed')
    this.send({ type: 'error', code: error.code, message: error.message, room, ref })
  }

  /** A frame is being obeyed, or was. */
  underWay (change: 1 | -1): void {
    this.#receiver.underWay(change)
    if (this.#receiver.idle && this.#leaving !== undefined) this.close(new errors.Closing())
  }

  /** Whether frames are obeyed: no more once it is to be closed. */
  get obeys (): boolean {
    return this.#link.open && this.#leaving === undefined
  }

  removeFrom (room: string, reason: string): void {
    this.rooms.get(room)?.ended(new errors.Unsubscribed(reason))
  }

  close (error: FanOutError): void {
    if (!this.#link.open) return
    if (error instanceof errors.Closing && !this.#receiver.idle) {
      // What is under way is answered before, a publish above all: else its client could not know whether it was accepted.
      this.#leaving ??= performance.now()
    } else {
      this.#closeNow(error)
    }
  }

  #closeNow (error: FanOutError): void {
    for (const room of this.rooms.values()) room.close()
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
    } else if (this.#receiver.caller === undefined) {
      if (now - this.#since > this.services.settings.limits.firstFrame) this.close(new errors.Unauthorized('no token came in time'))
    } else if (this.#receiver.expired) {
      this.close(new errors.Unauthorized('the token has expired'))
    } else {
      this.#link.tick(now)
    }
  }

  closed (): void {
    // Nothing is obeyed from here on: who it is may be found out only now, and its rooms would have nobody to leave them.
    this.#link.ending()
    this.services.connections.remove(this)
    for (const room of this.rooms.values()) room.close()
    this.rooms.clear()
    this.#receiver.end()
  }
}

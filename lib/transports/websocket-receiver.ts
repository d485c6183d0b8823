import type { FastifyRequest } from 'fastify'
import type { RawData } from 'ws'
import type { Caller } from '../access.js'
import type { ClientFrame } from './frames.js'
import type { WebSocketLink } from './websocket-link.js'
import type { WebSocketConnection } from './websocket.js'
import { hasExpired } from '../access.js'
import { asFanOutError, errors } from '../errors.js'
import { checkFrame, ProtocolViolation, readFrame } from './frames.js'
import { WebSocketRoom } from './websocket-room.js'

type AuthFrame = Extract<ClientFrame, { type: 'auth' }>

// Frames under way at which no more are read from the socket.
const UNDER_WAY = 64

/** What one client sends: counted, read, and obeyed in its order, once it is known who it is. */
export class WebSocketReceiver {
  readonly #connection: WebSocketConnection
  readonly #link: WebSocketLink
  readonly #request: FastifyRequest | undefined
  /** The frames that the URL stands for, until it is known who it is; and those that came while it was being found out. */
  #first: object[] | undefined
  #waiting: ClientFrame[] | undefined
  #identifying = false
  #caller: Caller | undefined
  #underWay = 0

  constructor (connection: WebSocketConnection, link: WebSocketLink, request: FastifyRequest | undefined, first: object[]) {
    this.#connection = connection
    this.#link = link
    this.#request = request
    this.#first = first
  }

  /** Who it is, once that is known. */
  get caller (): Caller | undefined {
    return this.#caller
  }

  get expired (): boolean {
    const identity = this.#caller?.identity ?? null
    return identity !== null && hasExpired(identity)
  }

  /** Whether all that it sent has been answered. */
  get idle (): boolean {
    return this.#underWay === 0
  }

  /** Counts what is under way, so that a client cannot heap up more than a little. */
  underWay (change: 1 | -1): void {
    this.#underWay += change
    this.#flow()
  }

  /** Counts what the client sends, of any kind; a flood ends the connection. */
  count (): boolean {
    const takes = this.#link.count()
    if (!takes) this.#connection.close(new errors.TooManyFrames())
    return takes && this.#link.open
  }

  receive (data: RawData, isBinary: boolean): void {
    if (!this.count()) return
    const { limits } = this.#connection.services.settings
    // Already cut off by ws, unless the app registered @fastify/websocket with a larger limit of its own.
    if ((data as Buffer).length > limits.frame) return this.#connection.close(new errors.TooLarge(`a frame may have ${limits.frame} bytes`))
    if (isBinary) return this.#connection.close(new errors.InvalidFrame('it must be text'))
    const frame = this.#read(() => readFrame(String(data)))
    if (frame === undefined) return
    if (this.#identifying) (this.#waiting ??= []).push(frame)
    else this.#obey(frame)
  }

  #read (read: () => ClientFrame): ClientFrame | undefined {
    try {
      return read()
    } catch (error) {
      const { ref, room } = error as { ref?: string | number, room?: string }
      if (error instanceof ProtocolViolation) this.#connection.close(new errors.InvalidFrame(error.message))
      else this.#connection.fail(error, ref, room)
      return undefined
    }
  }

  #obey (frame: ClientFrame): void {
    const { services: { settings, connections }, obeys } = this.#connection
    if (!obeys) return
    if (this.#caller === undefined && frame.type !== 'auth') return this.#connection.close(new errors.Unauthorized('send an auth frame first'))
    // `tick` comes only once a second.
    if (frame.type !== 'auth' && this.expired) return this.#connection.close(new errors.Unauthorized('the token has expired'))
    try {
      if (frame.type === 'ping') return this.#connection.send({ type: 'pong', ref: frame.ref })
      if (frame.type === 'auth') {
        void this.identify(frame.token, frame)
        return
      }
      if (frame.type === 'publish' && !settings.clientPublish) throw new errors.ClientPublish()
      if (frame.type === 'publish' && connections.draining) throw new errors.Closing()
      const room = this.#roomFor(frame)
      if (frame.type === 'subscribe') room.subscribe(frame)
      else if (frame.type === 'unsubscribe') room.unsubscribe(frame)
      else room.publish(frame)
    } catch (error) {
      this.#connection.fail(error, frame.ref, 'room' in frame ? frame.room : undefined)
    }
  }

  #roomFor (frame: Extract<ClientFrame, { room: string }>): WebSocketRoom {
    const { rooms, services } = this.#connection
    let room = rooms.get(frame.room)
    if (frame.type === 'subscribe' && room?.wanted !== true) {
      const { roomsPerConnection } = services.settings.limits
      let wanted = 0
      for (const other of rooms.values()) if (other.wanted) wanted++
      if (wanted >= roomsPerConnection) throw new errors.TooManyRooms(roomsPerConnection)
    }
    if (room === undefined) rooms.set(frame.room, room = new WebSocketRoom(frame.room, this.#connection))
    return room
  }

  /** Finds out who it is, at the opening and at each `auth` frame. Frames that come meanwhile wait; nothing more is read. */
  async identify (token: string | undefined, frame?: AuthFrame): Promise<void> {
    const { access } = this.#connection.services
    this.#identifying = true
    try {
      let caller = access.identify(this.#request, token)
      if (caller instanceof Promise) {
        this.#flow()
        caller = await caller
      }
      if (!this.#link.open) return
      // In a header a token may be meant for somebody else; in a frame it is for us.
      if (frame !== undefined && caller.key === undefined && !access.authenticates) throw new errors.Unauthorized('the token is no publish key')
      const before = this.#caller
      if (before?.identity?.user !== undefined && before.identity.user !== caller.identity?.user) throw new errors.Unauthorized('the token is of another user')
      this.#caller = caller
      if (token !== undefined || caller.identity !== null) {
        const { user, expiresAt } = caller.identity ?? {}
        this.#connection.send({ type: 'authenticated', user, expiresAt, ref: frame?.ref })
      }
      if (before !== undefined) await Promise.all([...this.#connection.rooms.values()].map((room) => room.review()))
    } catch (error) {
      // Where no token was sent there is time for an auth frame, see `WebSocketConnection.tick`.
      if (token !== undefined) this.#connection.close(asFanOutError(error))
    } finally {
      this.#identifying = false
      this.#flow()
      this.#obeyWaiting()
    }
  }

  #obeyWaiting (): void {
    if (this.#caller !== undefined) {
      const first = this.#first ?? []
      this.#first = undefined
      for (const value of first) {
        const frame = this.#read(() => checkFrame(value as Record<string, unknown>))
        if (frame !== undefined) this.#obey(frame)
      }
    }
    // One of them may be an auth frame, which the rest wait for again.
    while (this.#waiting !== undefined && this.#waiting.length > 0 && !this.#identifying) this.#obey(this.#waiting.shift() as ClientFrame)
  }

  /** Reads no more of the socket while frames that came cannot be obeyed. */
  #flow (): void {
    this.#link.pause(this.#identifying || this.#underWay >= UNDER_WAY)
  }

  /** Nothing more is obeyed. */
  end (): void {
    this.#waiting = undefined
  }
}

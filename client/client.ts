import type { Client, ClientEvents, ClientState, ConnectOptions, Frame, JoinOptions, Link, LinkOptions, Lost, OpenLink, Published, PublishOptions, Room, Token, Transport } from './types.js'
import type { RoomHost } from './room.js'
import { FanOutError } from './error.js'
import { Emitter, onAbort } from './emitter.js'
import { cursor, JoinedRoom } from './room.js'
import { BUSY, FIRST_DELAY, HEARTBEAT, LONGEST_DELAY, LONGEST_TIMER, STABLE } from './times.js'
import { webSocketLink } from './websocket-link.js'

/** With what stands where they say nothing. */
type Options = Pick<ConnectOptions, 'token' | 'storage' | 'share'> & Required<Pick<ConnectOptions, 'transport'>> & Omit<LinkOptions, 'token' | 'transport' | 'fallback'>
/** `made`: its key is one of ours. */
interface Publish { frame: Frame, made: boolean | undefined, resolve (result: Published): void, reject (error: unknown): void }
/** What is used of a page, where there is one. */
interface Page { document?: { hidden: boolean }, addEventListener?: EventTarget['addEventListener'] }
type Timer = ReturnType<typeof setTimeout>

/** Codes of errors that say "not now". */
const FOR_NOW = /AWAY|CLOSING|CANCELLED|SLOW|SNAPSHOT|INTERNAL/
/** Of a server whose broker takes no keys: one that we made is good. */
const NO_KEYS = /IDEMPOTENCY/

const openLink: OpenLink = async (options, events) => options.transport === 'events' ? new (await import('./event-streams.js')).EventStreams(options, events) : webSocketLink(options, events)

/** One connection for all rooms, made anew whenever it is lost. */
export class FanOutClient extends Emitter<ClientEvents> implements Client, RoomHost {
  state: ClientState = 'connecting'
  refs = 0
  readonly #options: Options
  readonly #rooms = new Map<string, JoinedRoom>()
  readonly #publishes = new Map<unknown, Publish>()
  readonly #closing = new AbortController()
  readonly #over: () => void
  #link: Link | undefined
  /** Frames are taken. */
  #linked = false
  #token: Token
  #openedAt = Infinity
  /** The server wants to be left alone until then. */
  #pausedUntil = 0
  #attempts = 0
  /** None where the server's broker takes no keys. */
  #newKey: (() => string) | undefined = newKey
  /** How often in a row a WebSocket was lost before it was open. */
  #blocked = 0
  #connecting: Timer | undefined
  #renewing: Timer | undefined

  constructor (url: string, { transport = 'auto', heartbeat = HEARTBEAT, WebSocket = globalThis.WebSocket as never, fetch = globalThis.fetch, signal, ...options }: ConnectOptions) {
    super()
    this.#options = {
      ...options,
      url,
      transport,
      heartbeat,
      WebSocket,
      request: (room, path, token, init) => fetch(`${url}/${encodeURIComponent(room)}${path}`, { ...init, headers: { ...init.headers as object, ...(token && { authorization: `Bearer ${token}` }) } })
    }
    this.#listen()
    this.#over = onAbort(signal, () => this.close())
    void this.#connect()
  }

  get transport (): Transport | undefined {
    return this.state === 'open' ? this.#link?.transport : undefined
  }

  join<Data> (name: string, options: JoinOptions = {}): Room<Data> {
    this.#alive()
    if (this.#rooms.has(name)) throw new FanOutError('FAN_OUT_ERR_ALREADY_JOINED', `${name} is joined`)
    const room = new JoinedRoom(name, options, this)
    this.#rooms.set(name, room)
    if (this.#linked) this.#link!.send(room.subscribe())
    room.over = onAbort(options.signal, () => room.leave())
    return room
  }

  publish (room: string, data: unknown, { idempotencyKey, signal }: PublishOptions = {}): Promise<Published> {
    const ref = ++this.refs
    let over: undefined | (() => void)
    return new Promise<Published>((resolve, reject) => {
      this.#alive()
      // As it is now: it may be sent again later.
      const frame = { type: 'publish', room, data: JSON.parse(JSON.stringify(data)), idempotencyKey: idempotencyKey ?? this.#newKey?.(), ref }
      this.#publishes.set(ref, { frame, made: !idempotencyKey, resolve, reject })
      over = onAbort(signal, () => reject(signal!.reason ?? new FanOutError('FAN_OUT_ERR_ABORTED', 'aborted')))
      if (this.#linked && !signal?.aborted) this.#link!.send(frame)
    }).finally(() => {
      this.#publishes.delete(ref)
      over?.()
    })
  }

  /** `error`: why, where it was not asked for. */
  close (error?: Error): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.#closing.abort()
    this.#over?.()
    clearTimeout(this.#connecting)
    for (const room of this.#rooms.values()) room.end(error)
    this.#rooms.clear()
    this.#unlink()
    this.#become('closed', error)
    this.#reject(error ?? closed(), true)
  }

  // --- what rooms ask

  async ask (room: string, path: string, signal: AbortSignal = this.#closing.signal): Promise<any> {
    const response = await this.#options.request(room, path, this.#token, { signal })
    const { ok, status } = response
    if (ok) return await response.json()
    throw errorOf({ code: 'FAN_OUT_ERR_CONNECTION', message: `status ${status}`, ...await response.json().catch(() => {}) as object }, status)
  }

  stored (room: string, id?: string): string | undefined {
    const { storage, url } = this.#options
    const key = `fan-out ${url} ${room}`
    // It may be full, or forbidden, and hold what is no cursor; then a reload does not resume.
    try {
      if (id) storage?.setItem(key, id)
      else return cursor(storage?.getItem(key) as string)[0]
    } catch {}
  }

  left (room: JoinedRoom): void {
    if (this.#rooms.get(room.name) !== room) return
    this.#rooms.delete(room.name)
    if (room.ref) this.#link?.send({ type: 'unsubscribe', room: room.name })
  }

  // --- the connection

  async #connect (): Promise<void> {
    clearTimeout(this.#connecting)
    if (this.state === 'closed') return
    this.#become('connecting')
    this.#openedAt = Infinity
    try {
      this.#token = await this.#newToken()
      const link = await (this.#options.share?.(openLink) ?? openLink)({ ...this.#options, token: this.#token, transport: this.#nextTransport(), fallback: this.#blocked > 1 }, {
        open: () => {
          this.#linked = true
          for (const room of this.#rooms.values()) link.send(room.subscribe())
          for (const { frame } of this.#publishes.values()) link.send(frame)
        },
        frame: (frame) => this.#take(frame),
        lost: (why) => this.#lost(why)
      })
      this.#link = link
      // It was closed meanwhile.
      if (this.#closing.signal.aborted) this.#unlink()
    } catch (error) {
      this.#later({ code: 1006, reason: String(error), opened: false })
    }
  }

  #nextTransport (): Transport {
    const { transport, WebSocket } = this.#options
    if (transport !== 'auto') return transport
    return (this.#blocked < 2 && WebSocket) || !globalThis.ReadableStream ? 'websocket' : 'events'
  }

  #take (frame: Frame): void {
    if (this.state !== 'open') {
      this.#openedAt = Date.now()
      this.#become('open')
      if (this.#closing.signal.aborted) return
    }
    const { type, ref, code } = frame
    const publish = this.#publishes.get(ref)
    // What is no name of a room is not repeated.
    const room = this.#rooms.get(frame.room!) ?? [...this.#rooms.values()].find((room) => room.ref === ref)
    if (type === 'authenticated') this.#renewBefore(frame['expiresAt'] as number)
    else if (publish && (type === 'published' || type === 'error')) {
      if (publish.made && NO_KEYS.test(code as string)) {
        publish.frame['idempotencyKey'] = publish.made = this.#newKey = undefined
        this.#link!.send(publish.frame)
      } else if (type === 'error') publish.reject(errorOf(frame))
      else publish.resolve({ id: frame['id'] as string, duplicate: !!frame['duplicate'] })
    } else if (!room) {
      // It was left.
    } else if (type === 'error' ? ref === room.ref : type === 'unsubscribed' && (room.state === 'joined' || !room.ref) && code !== 'FAN_OUT_UNSUBSCRIBED') this.#refused(room, errorOf(frame))
    else room.take(frame)
  }

  /** The server did not let us in, or has put us out. */
  #refused (room: JoinedRoom, error: FanOutError): void {
    if (!FOR_NOW.test(error.code)) {
      this.#rooms.delete(room.name)
      return room.end(error)
    }
    room.away(setTimeout(() => this.#link!.send(room.subscribe()), BUSY * (1 + Math.random())))
  }

  #lost (why: Lost): void {
    const { code, opened } = why
    this.#blocked = this.#link!.transport === 'events' ? (opened ? 1 : 0) : code === 1006 && !opened ? this.#blocked + 1 : 0
    // Nobody knows which frame was too large; it would be again.
    if (this.#linked) this.#reject(lostError(why), code === 1009)
    this.#unlink()
    if (code === 1008 || code === 4403 || (code === 4401 && typeof this.#options.token !== 'function')) this.close(lostError(why))
    else this.#later(why)
  }

  #unlink (): void {
    this.#link?.close()
    this.#link = undefined
    this.#linked = false
    clearTimeout(this.#renewing)
    for (const room of this.#rooms.values()) room.away()
  }

  /**
   * Connects again: at once where the server has only gone, or wants another token; otherwise later each time, and by
   * chance ("full jitter", Brooker, AWS Architecture Blog, 2015), so that a thousand clients do not come together.
   */
  #later (why: Lost): void {
    if (this.#closing.signal.aborted) return
    const { code, retryAfter } = why
    if (Date.now() - this.#openedAt > STABLE) this.#attempts = 0
    const soon = !this.#attempts && (code === 1001 || code === 4401)
    const least = retryAfter || (code === 1013 || code === 4429 ? BUSY : 0)
    const retryIn = least + (soon ? 0 : Math.random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts))
    this.#pausedUntil = Date.now() + least
    this.#attempts++
    this.#connecting = setTimeout(() => this.#connect(), retryIn)
    this.#become('waiting', lostError(why), retryIn)
  }

  async #newToken (): Promise<Token> {
    const { token } = this.#options
    return typeof token === 'function' ? await token() : token
  }

  /** Asks for a token, and hands it over, before the present one expires. */
  #renewBefore (expiresAt?: number): void {
    if (!expiresAt || typeof this.#options.token !== 'function') return
    const link = this.#link
    clearTimeout(this.#renewing)
    this.#renewing = setTimeout(async () => {
      // Where there is none, the server closes with 4401, and it is asked for again.
      const token = await this.#newToken().catch(() => {})
      if (this.#link === link && token) link?.send({ type: 'auth', token: this.#token = token })
    }, Math.min(LONGEST_TIMER, Math.max(BUSY, (expiresAt - Date.now()) * 0.8)))
  }

  #listen (): void {
    const { signal } = this.#closing
    const { document, addEventListener } = globalThis as Page
    const wake = (): void => {
      if (document?.hidden) return
      if (this.state !== 'waiting') this.#link?.probe()
      else if (Date.now() >= this.#pausedUntil) void this.#connect()
    }
    for (const type of ['online', 'offline', 'pageshow', 'visibilitychange']) addEventListener?.(type, wake, { signal })
  }

  // --- its state

  #become (state: ClientState, error?: Error, retryIn?: number): void {
    this.state = state
    this.emit({ type: 'state', state, transport: this.transport, retryIn, error })
  }

  #alive (): void {
    if (this.state === 'closed') throw closed()
  }

  /** All, or those that would be published again if they were sent again. */
  #reject (error: Error, all: boolean): void {
    for (const { frame, reject } of this.#publishes.values()) if (all || !frame['idempotencyKey']) reject(error)
  }
}

function errorOf ({ code, message, reason }: Partial<Frame>, status?: number): FanOutError {
  return new FanOutError(code as string, (message ?? reason) as string, status)
}

function lostError ({ code, reason }: Lost): FanOutError {
  return new FanOutError('FAN_OUT_ERR_CONNECTION', reason || `lost: ${code}`, code)
}

function closed (): FanOutError {
  return new FanOutError('FAN_OUT_ERR_CLOSED', 'closed')
}

/** Unlikely ever to be made twice; `crypto.randomUUID` is missing on pages without https. */
function newKey (): string {
  return `${Math.random()}${Math.random()}`
}

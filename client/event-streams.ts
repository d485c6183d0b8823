import type { Frame, Link, LinkEvents, LinkOptions, Token } from './types.js'

// The server says something every 15 s.
const SILENCE = 20_000
const WATCH = 2_000
// In ms: how often it is tried again whether WebSockets are blocked.
const UPGRADE = 300_000

type RoomFrame = Frame & { room: string }

interface Stream { abort: AbortController, /** When it said something last; undefined before it has begun. */ heard: number | undefined }

/**
 * Where WebSockets are blocked: a stream of Server-Sent Events for each room, read by `fetch`, since an EventSource can
 * send no token, and does not tell why it was refused. Publishes are POSTs. It takes and gives the same frames.
 *
 * A module of its own, without imports: it is loaded only where it is needed.
 */
export class EventStreams implements Link {
  readonly transport = 'events'
  readonly #events: LinkEvents
  readonly #request: LinkOptions['request']
  readonly #streams = new Map<string, Stream>()
  readonly #end = new AbortController()
  readonly #watch: ReturnType<typeof setInterval>
  readonly #upgrade: ReturnType<typeof setTimeout> | undefined
  /** When any of them said something. */
  #heard = Date.now()
  #opened = false
  #token: Token

  constructor ({ token, request, fallback }: LinkOptions, events: LinkEvents) {
    this.#events = events
    this.#request = request
    this.#token = token
    // One that has not begun may wait in the browser until another ends: it has so many connections to a server.
    this.#watch = setInterval(() => {
      const silent = Date.now() - SILENCE
      if ([...this.#streams.values()].some(({ heard = this.#heard }) => heard < silent)) this.probe()
    }, WATCH)
    if (fallback) this.#upgrade = setTimeout(() => this.#lost(1001, 'upgrade'), UPGRADE)
    // There is nothing to wait for: each room has a connection of its own.
    setTimeout(() => this.#over || events.open())
  }

  get #over (): boolean {
    return this.#end.signal.aborted
  }

  send (frame: Frame): void {
    if (this.#over) return
    const { type, room = '', token } = frame
    if (type === 'auth') this.#token = token as Token
    if (type === 'subscribe') void this.#read(frame as RoomFrame)
    if (type === 'publish') void this.#publish(frame as RoomFrame)
    if (type === 'unsubscribe') this.#streams.get(room)?.abort.abort()
  }

  /** To begin anew is the only way to find out. */
  probe (): void {
    if (this.#streams.size > 0) this.#lost(1001, 'the streams are silent')
  }

  close (): void {
    this.#end.abort()
    clearInterval(this.#watch)
    clearTimeout(this.#upgrade)
    for (const { abort } of this.#streams.values()) abort.abort()
  }

  async #read ({ room, ref, since, replay }: RoomFrame): Promise<void> {
    const abort = new AbortController()
    const { signal } = abort
    const stream: Stream = { abort, heard: undefined }
    if (this.#streams.size === 0) this.#heard = Date.now()
    this.#streams.set(room, stream)
    const query = since ? `?since=${since as string}` : replay ? `?replay=${replay as number}` : ''
    await this.#ask({ room, ref }, `/events${query}`, { signal }, async ({ body }) => {
      for await (const { type, id, data } of eventsOf(body!, () => { stream.heard = this.#heard = Date.now() })) {
        if (signal.aborted) return
        this.#opened = true
        this.#events.frame(type === 'message' || type === 'snapshot' ? { type, room, id, data } : { ...data as object, type, ref })
        if (type === 'unsubscribed') return abort.abort()
      }
      throw new Error('the stream has ended')
    })
    if (this.#streams.get(room) === stream) this.#streams.delete(room)
  }

  #publish ({ room, ref, data, idempotencyKey }: RoomFrame): Promise<void> {
    const headers = { 'content-type': 'application/json', ...(idempotencyKey as string && { 'idempotency-key': idempotencyKey as string }) }
    return this.#ask({ room, ref }, '', { method: 'POST', headers, body: JSON.stringify(data), signal: this.#end.signal }, async (response) => {
      this.#events.frame({ ...await response.json() as object, type: 'published', ref })
    })
  }

  async #ask (about: { room: string, ref: Frame['ref'] }, path: string, init: RequestInit & { signal: AbortSignal }, use: (response: Response) => Promise<void>): Promise<void> {
    try {
      const response = await this.#request(about.room, path, this.#token, init)
      await (response.ok ? use(response) : this.#refused(about, response, init.method === 'POST'))
    } catch (error) {
      if (!init.signal.aborted) this.#lost(1006, String(error))
    }
  }

  /** What the server refuses for good is an error of this frame, and so is all that is said of a publish; else the link has ended. */
  async #refused (about: { room: string, ref: Frame['ref'] }, response: Response, publish: boolean): Promise<void> {
    const { status, headers } = response
    const { code = 'FAN_OUT_ERR_CONNECTION', message = `status ${status}` } = await response.json().catch(() => ({})) as { code?: string, message?: string }
    if (publish || (status < 500 && status !== 401 && status !== 429)) this.#events.frame({ ...about, type: 'error', code, message })
    else this.#lost(status === 401 ? 4401 : 1006, message, 1000 * Number(headers.get('retry-after')))
    // No stream is there to end when the token does: it may have.
    if (publish && status === 401 && this.#streams.size === 0) this.#lost(1001, message)
  }

  #lost (code: number, reason: string, retryAfter?: number): void {
    if (this.#over) return
    this.close()
    this.#events.lost({ code, reason, opened: this.#opened, retryAfter })
  }
}

/** The events of a stream, as the HTML standard has them; each comes with its blank line. */
async function * eventsOf (body: ReadableStream<Uint8Array>, heard: () => void): AsyncGenerator<{ type: string, id: string | undefined, data: unknown }> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  for (let rest = ''; ;) {
    const { done, value } = await reader.read()
    if (done) return
    heard()
    const blocks = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/)
    rest = blocks.pop() as string
    for (const block of blocks) {
      const fields = new Map<string, string>()
      for (const line of block.split(/\r?\n/)) {
        const [name = '', value = ''] = line.split(/: ?(.*)/s)
        fields.set(name, name === 'data' && fields.has(name) ? `${fields.get(name)}\n${value}` : value)
      }
      const data = fields.get('data')
      if (data !== undefined) yield { type: fields.get('event') ?? 'message', id: fields.get('id'), data: JSON.parse(data) }
    }
  }
}

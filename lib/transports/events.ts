import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../access.js'
import type { Cursor } from '../cursor.js'
import type { FanOutError } from '../errors.js'
import type { Batch, Format } from '../message.js'
import type { From } from '../rooms/catch-up.js'
import type { Sink, Subscribed, Subscriber } from '../rooms/subscriber.js'
import type { Services } from '../services.js'
import type { Connection } from './transport.js'
import { hasExpired } from '../access.js'
import { formatCursor } from '../cursor.js'
import { errors } from '../errors.js'
import { PacedWriter } from './paced-writer.js'

// The stream of comments keeps proxies from ending a quiet one, in ms.
const COMMENT = 15_000

/** Entries in the format of EventSource (HTML, section 9.2). Their JSON has no line breaks, so that one data line carries it whole. */
const events: Format = {
  encode: (entry) => Buffer.from(entry.type === 'message'
    ? `id: ${formatCursor(entry.id)}\ndata: ${entry.text}\n\n`
    : event('gap', entry.toJSON().id, JSON.stringify(entry.toJSON())))
}

function event (name: string, id: string, data: string): string {
  return `event: ${name}\nid: ${id}\ndata: ${data}\n\n`
}

/** When an EventSource should come back, in ms: a different time for each, so that they do not all come at once. */
function retry (): string {
  return `retry: ${2_000 + Math.floor(Math.random() * 3_000)}\n\n`
}

/** Takes the response over. Headers that hooks have set on the reply, CORS's for one, go out with it. */
function begin (reply: FastifyReply): void {
  reply.hijack()
  // Persistence is Node's and the proxies' affair, and HTTP/2 knows no such header.
  reply.raw.removeHeader('connection')
  reply.raw.writeHead(200, {
    ...reply.getHeaders() as Record<string, string>,
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no'
  })
}

/** Ends a stream that is refused only for now: any other status than 200 would end the EventSource for ever. */
export function comeBack (reply: FastifyReply): void {
  begin(reply)
  reply.raw.end(retry())
}

function isGone ({ raw }: FastifyReply): boolean {
  return raw.destroyed || (raw as { stream?: { destroyed: boolean } }).stream?.destroyed === true // HTTP/2
}

/** One client's event stream, of one room. */
export class EventStream implements Connection, Sink {
  readonly kind = 'events'
  readonly id: string
  readonly address: string | undefined
  readonly #services: Services
  readonly #reply: FastifyReply
  readonly #writer: PacedWriter
  readonly #caller: Caller
  readonly #room: string
  readonly #aborted = new AbortController()
  #joined: Subscriber | undefined
  #subscriber: Subscriber | undefined
  #leavePresence: (() => void) | undefined
  #commented = performance.now()
  #begun = false
  /** Why it was closed, for the case that it has not begun. */
  #ending: FanOutError | undefined

  constructor (services: Services, request: FastifyRequest, reply: FastifyReply, caller: Caller, room: string) {
    this.id = services.newConnectionId()
    this.address = services.connections.addressOf(request)
    this.#services = services
    this.#reply = reply
    this.#caller = caller
    this.#room = room
    this.#writer = new PacedWriter(reply.raw, services.settings.limits.queue)
    services.connections.add(this)
    reply.raw.on('close', () => this.#closed())
    reply.raw.on('error', () => {})
    // It may have gone while the app was asked who it is, and then nothing more is heard of it.
    if (isGone(reply)) this.#closed()
  }

  get user (): string | undefined {
    return this.#caller.identity?.user
  }

  /** Subscribes; where that fails, nothing was written yet and the reply is still Fastify's. */
  async subscribe (from: From): Promise<void> {
    try {
      this.#joined = await this.#services.rooms.subscribe(this.#room, this, from, this.#aborted.signal)
    } catch (error) {
      this.#services.connections.remove(this)
      throw this.#ending ?? error
    }
    if (this.#aborted.signal.aborted) return this.#joined.leave()
    const { user, info } = this.#caller.identity ?? {}
    this.#leavePresence = this.#services.presence?.join(this.#room, { connection: this.id, ...(user !== undefined && { user }), ...(info !== undefined && { info }) })
  }

  subscribed ({ id, recovered, replayed }: Subscribed, subscriber: Subscriber): void {
    this.#subscriber = subscriber
    this.#begun = true
    begin(this.#reply)
    const position = formatCursor(id)
    this.#reply.raw.write(retry() + event('subscribed', position, JSON.stringify({ room: this.#room, id: position, recovered, replayed })))
  }

  write (batch: Batch, live: boolean): boolean {
    return this.#write(batch.encode(events), live)
  }

  snapshot (id: Cursor, text: string): boolean {
    return this.#write(Buffer.from(event('snapshot', formatCursor(id), text)), false)
  }

  #write (buffer: Buffer, live: boolean): boolean {
    if (!live) return this.#writer.write(buffer, this)
    if (this.#writer.tooSlow) {
      // A stream has no close code: it breaks off, and its client comes back with the last id.
      this.#services.connections.slow++
      this.destroy()
    } else {
      this.#writer.writeNow(buffer)
    }
    return true
  }

  ready (): boolean {
    return this.#writer.ready(this)
  }

  resume (): void {
    this.#subscriber?.resume()
  }

  ended (error: FanOutError): void {
    this.#ending = error
    this.#end(event('unsubscribed', '', JSON.stringify({ room: this.#room, code: error.code, reason: error.message })).replace('id: \n', ''))
  }

  removeFrom (room: string, reason: string): void {
    if (room === this.#room) this.ended(new errors.Unsubscribed(reason))
  }

  close (error: FanOutError): void {
    this.#ending = error
    this.#end('')
  }

  tick (now: number): void {
    if (this.#reply.raw.writableEnded) return this.destroy()
    if (this.#caller.identity !== null && hasExpired(this.#caller.identity)) return this.close(new errors.Unauthorized('the token has expired'))
    if (!this.#begun || now - this.#commented < COMMENT) return
    this.#commented = now
    this.#reply.raw.write(':\n\n')
  }

  destroy (): void {
    this.#reply.raw.destroy()
  }

  #end (last: string): void {
    this.#leave()
    if (this.#begun) this.#reply.raw.end(last)
  }

  #leave (): void {
    this.#aborted.abort(new errors.Cancelled())
    this.#joined?.leave()
    this.#leavePresence?.()
    this.#leavePresence = undefined
  }

  #closed (): void {
    this.#leave()
    this.#services.connections.remove(this)
  }
}

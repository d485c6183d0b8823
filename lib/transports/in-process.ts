import type { RoomEvent, SubscribeOptions, Subscription } from '../../types/index.js'
import type { Cursor } from '../cursor.js'
import type { Batch, Entry } from '../message.js'
import type { Log } from '../rooms/room-host.js'
import type { Rooms } from '../rooms/rooms.js'
import type { Sink, Subscribed, Subscriber } from '../rooms/subscriber.js'
import { formatCursor, parseCursor } from '../cursor.js'
import { errors } from '../errors.js'

type Handler = (event: RoomEvent) => unknown

/** A subscriber that is a function: it is given one event after the other, and its promises are waited for. */
class InProcessSink implements Sink {
  answer: Subscribed | undefined
  joined: Subscriber | undefined
  #subscriber: Subscriber | undefined
  #closed = false
  readonly #room: string
  readonly #handler: Handler
  readonly #log: Log
  #events: RoomEvent[] = []
  // Until `start`, so that the subscriber has its Subscription before the first event.
  #handling = true
  readonly closed: Promise<Error | undefined>
  #resolveClosed!: (error?: Error) => void

  constructor (room: string, handler: Handler, log: Log) {
    this.#room = room
    this.#handler = handler
    this.#log = log
    this.closed = new Promise((resolve) => { this.#resolveClosed = resolve })
  }

  subscribed (answer: Subscribed, subscriber: Subscriber): void {
    this.answer = answer
    this.#subscriber = subscriber
  }

  write (batch: Batch): boolean {
    // One by one: so many arguments as there may be entries do not fit a call.
    for (const entry of batch.entries) this.#events.push(toEvent(entry))
    return this.#handle()
  }

  snapshot (id: Cursor, text: string): boolean {
    this.#events.push({ type: 'snapshot', room: this.#room, id: formatCursor(id), data: JSON.parse(text) })
    return this.#handle()
  }

  ended (error: Error): void {
    this.close(error)
  }

  close (error?: Error): void {
    this.#closed = true
    this.#events = []
    this.joined?.leave()
    this.#resolveClosed(error)
  }

  start (): void {
    void this.#handleAll(true)
  }

  /** Handles what has come; false where that takes longer than this turn. */
  #handle (): boolean {
    if (!this.#handling) {
      this.#handling = true
      void this.#handleAll(false)
    }
    return !this.#handling
  }

  /** `waited`: the subscriber was told to wait. */
  async #handleAll (waited: boolean): Promise<void> {
    while (this.#events.length > 0) {
      // All at once: to take the first of a long array is to move the rest.
      const events = this.#events
      this.#events = []
      for (const event of events) {
        if (this.#closed) return
        try {
          const promise = this.#handler(event)
          if (typeof (promise as Promise<unknown> | undefined)?.then !== 'function') continue
          waited = true
          await promise
        } catch (error) {
          this.#log.error({ err: error, room: this.#room }, 'fan-out: the handler of a subscription failed')
        }
      }
    }
    this.#handling = false
    if (waited) this.#subscriber?.resume()
  }
}

export async function subscribeInProcess (rooms: Rooms, log: Log, room: string, options: SubscribeOptions, handler: Handler): Promise<Subscription> {
  const { since: text, replay, signal } = options
  const since = text === undefined || text === 'earliest' ? text : parseCursor(text)
  if (text !== undefined && since === undefined) throw new errors.InvalidCursor()
  if (replay !== undefined && (!Number.isInteger(replay) || replay < 0)) throw new errors.InvalidRequest('replay takes a whole number')
  signal?.throwIfAborted()
  const sink = new InProcessSink(room, handler, log)
  sink.joined = await rooms.subscribe(room, sink, { since, last: replay }, signal)
  const close = (): void => sink.close()
  if (signal?.aborted === true) close()
  setImmediate(() => sink.start())
  signal?.addEventListener('abort', close, { once: true })
  const { id, recovered, replayed } = sink.answer as Subscribed
  return {
    room,
    id: formatCursor(id),
    recovered,
    replayed,
    closed: sink.closed,
    async close () {
      signal?.removeEventListener('abort', close)
      close()
    }
  }
}

function toEvent (entry: Entry): RoomEvent {
  return entry.type === 'message'
    ? { type: 'message', room: entry.room, id: formatCursor(entry.id), data: JSON.parse(entry.text) }
    : { type: 'gap', ...entry.toJSON() }
}

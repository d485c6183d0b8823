import type { Cursor } from '../cursor.js'
import type { Batch } from '../message.js'
import type { FanOutError } from '../errors.js'

/** What a subscriber is told first, as in the `subscribed` frame. */
export interface Subscribed {
  /** The position just before the first message that follows. */
  id: Cursor
  /** Whether everything since the cursor follows; undefined where none was given. */
  recovered: boolean | undefined
  /** How many messages were retained after `id`: they follow as replay. */
  replayed: number
}

/**
 * Where a subscriber's room writes to: a transport, or a function in the process. It must not throw, and must not call
 * back into the room before it returns.
 */
export interface Sink {
  /** Comes before all else, and only if the subscribe does not fail. */
  subscribed (answer: Subscribed, subscriber: Subscriber): void
  /**
   * Takes the batch, whole. `live` batches come as they are published; the others are a replay, which waits for as
   * long as it must. Answers whether it would take more now; after a false, it calls `Subscriber.resume()` once it would.
   */
  write (batch: Batch, live: boolean): boolean
  /**
   * Whether it would take a piece of a replay now; after a false, it calls `Subscriber.resume()` once it may be worth
   * asking again. For sinks that share one socket, and fill it for each other; the others need none.
   */
  ready? (): boolean
  snapshot (id: Cursor, text: string): boolean
  /** The room lets the subscriber go. */
  ended (error: FanOutError): void
}

/**
 * One subscription. It is either **live**, and given each batch as it comes, or it is **catching up**, and then it is no
 * more than a position: what it has yet to receive is kept for it by nobody, and read from the room's tail or from the
 * broker as fast as its sink takes it.
 */
export class Subscriber {
  readonly sink: Sink
  /** Where it stands, while it is catching up. */
  position: Cursor
  /** The first round that it is to be given, see `Delivery`; none while it is catching up. */
  liveFrom: number | undefined
  readonly #room: { leave (subscriber: Subscriber): void }
  #closed = false
  #full = false
  #wake: (() => void) | undefined

  constructor (sink: Sink, position: Cursor, room: { leave (subscriber: Subscriber): void }) {
    this.sink = sink
    this.position = position
    this.#room = room
  }

  /** Ends the subscription; its sink is not told. */
  leave (): void {
    this.#room.leave(this)
  }

  get closed (): boolean {
    return this.#closed
  }

  /** Whether its sink asks to wait. */
  get full (): boolean {
    if (this.sink.ready?.() === false) this.#full = true
    return this.#full
  }

  /** Writes to the sink; false where no more should be written until `writable()`. */
  write (batch: Batch, live: boolean): boolean {
    return this.#taken(this.sink.write(batch, live))
  }

  snapshot (id: Cursor, text: string): boolean {
    return this.#taken(this.sink.snapshot(id, text))
  }

  /** The sink takes more. */
  resume (): void {
    this.#full = false
    this.#wake?.()
  }

  close (): void {
    this.#closed = true
    this.#wake?.()
  }

  /** Resolves when the sink takes more, or the subscriber is closed. */
  async writable (): Promise<void> {
    if (!this.#full || this.#closed) return
    await new Promise<void>((resolve) => { this.#wake = resolve })
    this.#wake = undefined
  }

  #taken (more: boolean): boolean {
    if (!more) this.#full = true
    return more
  }
}

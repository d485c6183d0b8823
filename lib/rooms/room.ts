import type { Hole, LiveHole, StoredMessage, Window } from '../brokers/broker.js'
import type { Cursor } from '../cursor.js'
import type { Counts, RoomHost } from './room-host.js'
import type { Subscriber } from './subscriber.js'
import { notAfter, sameCursor } from '../cursor.js'
import { errors } from '../errors.js'
import { Backlog } from './backlog.js'
import { Delivery } from './delivery.js'
import { Run, toEntry } from './run.js'
import { Subscribers } from './subscribers.js'

// One for all rooms that have joined.
const JOINED = Promise.resolve()

/**
 * One room on this server: where it stands in the room's history, the tail of it, and who is subscribed here.
 *
 * A message is accepted only where its `previous` is the position that the room stands at. Anything else is first read
 * from the broker's window, once for all subscribers (`repair`), and only what cannot be read becomes a gap.
 * How a subscriber joins, and catches up, stands in `catch-up.ts`.
 *
 * A server can have very many rooms in which nothing happens. Such a room is a position and its subscribers: all else is
 * made when it is first needed.
 */
export class Room {
  readonly name: string
  readonly host: RoomHost
  readonly counts: Counts
  readonly subscribers = new Subscribers()
  /** Kept for its host: subscribers on their way in, whether it is to be flushed, when it was last known where the room stands: a message came, or it was joined or compared. */
  joining = 0
  dirty = false
  heard = 0

  #position: Cursor = { epoch: 0, offset: 0 }
  /** What came while the room was joining or being repaired, in the order of coming. */
  #inbox: Array<StoredMessage | LiveHole> | undefined
  #inboxLost = false
  #whole = false
  #joined: Promise<void> | undefined
  #tail: Run | undefined
  #backlog: Backlog | undefined
  #delivery: Delivery | undefined
  #closed = false
  #repairing: Promise<void> | undefined

  constructor (name: string, host: RoomHost) {
    this.name = name
    this.host = host
    this.counts = host.countsOf(name)
  }

  /**
   * Messages up to `position`, contiguous: a resume from within costs the broker nothing. It holds nothing that the window
   * does not, so that what a client is told does not depend on who else is here; see `expireTail`.
   */
  get tail (): Run {
    this.#tail ??= new Run(this.#position, [], this.host.broker.windowless !== true)
    return this.#tail
  }

  /** What was last read from the broker for those who are behind the tail. */
  get backlog (): Backlog {
    this.#backlog ??= new Backlog(this)
    return this.#backlog
  }

  get delivery (): Delivery {
    this.#delivery ??= new Delivery(this)
    return this.#delivery
  }

  /** The id of the last message accepted, or of the gap passed since. */
  get position (): Cursor {
    return this.#position
  }

  /** Whether it stands in the live stream, neither joining nor being repaired. */
  get whole (): boolean {
    return this.#whole
  }

  get closed (): boolean {
    return this.#closed
  }

  close (): void {
    this.#closed = true
    for (const subscriber of this.subscribers.values()) {
      subscriber.close()
      subscriber.sink.ended(new errors.Closing())
    }
    this.subscribers.clear()
  }

  /** Joins the live stream at the broker, once. Rejects where the broker cannot be reached; the next call tries again. */
  join (): Promise<void> {
    this.#joined ??= this.#join().then(() => { this.#joined = JOINED }, (error) => {
      this.#joined = undefined
      throw error
    })
    return this.#joined
  }

  async #join (): Promise<void> {
    this.#moveTo(await this.host.inTime(this.host.broker.subscribe(this.name)))
    this.heard = this.host.scheduler.now()
    this.#whole = true
    for (const message of this.#takeInbox()) this.receive(message)
    if (this.#inboxLost) void this.repair()
  }

  /** A message of the live stream, or a hole in it, as the broker gave it. */
  receive (message: StoredMessage | LiveHole): void {
    if (message.type === 'message') this.counts.received++
    this.heard = this.host.scheduler.now()
    if (this.#whole && sameCursor(message.previous, this.#position)) {
      this.#accept(message)
      return
    }
    if (this.#whole && notAfter(message.id, this.#position)) return // a repeat
    const inbox = this.#inbox ??= []
    if (inbox.length < this.host.limits.inbox) inbox.push(message)
    else this.#inboxLost = true
    if (this.#whole) void this.repair()
  }

  /**
   * Holds where the room stands against the top that the broker told. `asked` is where it stood when it was asked: the
   * live stream may have moved on since.
   */
  compare (asked: Cursor, top: Cursor): void {
    this.heard = this.host.scheduler.now()
    if (!this.#whole || sameCursor(top, this.#position) || sameCursor(top, asked)) return
    if (notAfter(asked, top) && notAfter(top, this.#position)) return
    void this.repair()
  }

  /** Reads what is missing from the window, until the live stream connects. Waits for the broker as long as it must. */
  repair (): Promise<void> {
    this.#repairing ??= this.#repair()
    return this.#repairing
  }

  async #repair (): Promise<void> {
    this.#whole = false
    this.counts.repairs++
    while (!this.#closed) {
      const waiting = this.#inbox?.length ?? 0
      const lost = this.#inboxLost
      this.#inboxLost = false
      const window = await this.#readOn()
      if (window === undefined) {
        this.#inboxLost ||= lost
        await this.host.retry()
        continue
      }
      for (const entry of window.entries) this.#accept(entry)
      if (window.more) continue
      // Where the last entry is not the top, the history has gone over to a new epoch without a loss.
      if (!notAfter(window.position, this.#position)) this.#moveTo(window.position)
      if (this.#connect(waiting)) break
    }
    // In one step: whoever finds it whole can have it repaired again.
    this.#whole = true
    this.#repairing = undefined
  }

  async #readOn (): Promise<Window | undefined> {
    try {
      return await this.host.inTime(this.host.broker.read(this.name, { since: this.#position, limit: this.host.limits.page }))
    } catch (error) {
      this.host.log.error({ err: error, room: this.name }, 'fan-out: the window of a room could not be read, trying again')
      return undefined
    }
  }

  /**
   * Accepts what waited. The first `known` of them came before the window was read: where they do not connect now they
   * are repeats, or belong to a history that is no more. A later one that does not connect asks for another read.
   */
  #connect (known: number): boolean {
    const inbox = this.#takeInbox()
    for (const [index, message] of inbox.entries()) {
      if (sameCursor(message.previous, this.#position)) {
        this.#accept(message)
      } else if (index >= known && !notAfter(message.id, this.#position)) {
        this.#inbox = inbox.slice(index)
        return false
      }
    }
    return !this.#inboxLost
  }

  #takeInbox (): Array<StoredMessage | LiveHole> {
    const inbox = this.#inbox ?? []
    this.#inbox = undefined
    return inbox
  }

  #accept (stored: StoredMessage | Hole): void {
    const entry = toEntry(this.name, stored)
    if (entry.type === 'message') {
      this.tail.push(entry, this.host.scheduler.now(), this.host.limits.tail)
      this.#position = entry.id
      this.delivery.push(entry)
    } else {
      this.counts.gaps++
      this.delivery.push(entry)
      this.#moveTo(entry.id)
      this.#backlog?.forget()
      // With a snapshot to follow, each subscriber goes on by itself from here.
      if (this.host.snapshot !== undefined) this.delivery.close(true)
    }
    this.host.dirty(this)
  }

  /** Forgets what is too old for the window. To be called before something is looked up in the tail, and not between a look-up and the use of what it found. */
  expireTail (): void {
    if (this.#tail === undefined) return
    this.#tail.expire(this.host.scheduler.now() - this.host.limits.tail.maxAge)
    if (this.#tail.entries.length === 0) this.#tail = undefined
  }

  /** Forgets what nobody is likely to ask for again. */
  sweep (linger: number): void {
    this.#backlog?.sweep(linger)
    this.#tail?.forgetPiece()
    this.expireTail()
  }

  /** Stands at `position`, with no message between it and what follows. */
  #moveTo (position: Cursor): void {
    this.#position = position
    this.#tail = undefined
  }

  /** To be called where the subscriber has all that came so far: from here on it is given each batch. */
  makeLive (subscriber: Subscriber): void {
    subscriber.liveFrom = this.#delivery?.next() ?? 0
  }

  leave (subscriber: Subscriber): void {
    if (subscriber.closed) return
    subscriber.close()
    this.subscribers.delete(subscriber)
    this.host.left(this)
  }
}

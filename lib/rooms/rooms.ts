import type { Broker, Outgoing, Published, ReadRequest, Window } from '../brokers/broker.js'
import type { Scheduler } from '../scheduler.js'
import type { Abortable, From } from './catch-up.js'
import type { Counts, Log, RoomHost } from './room-host.js'
import type { Sink, Subscriber } from './subscriber.js'
import { Deadlines } from '../deadlines.js'
import { errors, retryAfter } from '../errors.js'
import { CatchUp } from './catch-up.js'
import { Comparison } from './comparison.js'
import { Room } from './room.js'

export interface RoomsOptions {
  broker: Broker
  log: Log
  scheduler: Scheduler
  /** How long a room without subscribers is kept, in ms. */
  linger: number
  /** The deadline for what a caller waits for, in ms. */
  timeout: number
  limits: RoomHost['limits']
  snapshot?: ((room: string) => Promise<string | undefined>) | undefined
}

/** What the names of the servers' own rooms begin with, which no user's can. */
export const INTERNAL = '\u0001'

// Rooms that linger at once; past it the one that has been empty for the longest is left.
const LINGERING = 1_000
// How often what failed is tried again, and what was quiet is compared with the broker, in ms. Both are jittered, so that servers that lost a broker together do not come back together.
const RETRY = 500
const COMPARE = 3_000
// How often it is looked for rooms that are quiet: a room that has just become so is found soon after `COMPARE`.
const LOOK = 500

/**
 * The rooms of this server: brings what the broker delivers to the rooms that have subscribers here, joins a room at
 * the broker for its first subscriber and leaves it some time after its last, and makes sure that no room stands still
 * without knowing (`doubt`, and a comparison of quiet rooms every few seconds).
 */
export class Rooms implements RoomHost {
  readonly broker: Broker
  readonly scheduler: Scheduler
  readonly log: Log
  readonly limits: RoomHost['limits']
  readonly snapshot: RoomHost['snapshot']
  readonly catchUp = new CatchUp()
  readonly counts = { published: 0, received: 0, delivered: 0, gaps: 0, repairs: 0 }
  /** Of the servers' own rooms. */
  readonly #internalCounts = { received: 0, delivered: 0, gaps: 0, repairs: 0 }

  readonly #linger: number
  readonly #timeout: number
  readonly #deadlines: Deadlines
  readonly #rooms = new Map<string, Room>()
  /** Rooms with no subscriber, and since when; the one that has been so the longest first. */
  readonly #empty = new Map<Room, number>()
  readonly #comparison: Comparison
  #dirty: Room[] = []
  #retrying: Promise<void> | undefined
  #endRetry: (() => void) | undefined
  #cancelTick: (() => void) | undefined
  #closed = false

  constructor (options: RoomsOptions) {
    this.broker = options.broker
    this.scheduler = options.scheduler
    this.log = options.log
    this.limits = options.limits
    this.snapshot = options.snapshot
    this.#linger = options.linger
    this.#timeout = options.timeout
    this.#deadlines = new Deadlines(options.timeout, options.scheduler)
    this.#comparison = new Comparison(this)
  }

  async start (): Promise<void> {
    this.#cancelTick?.()
    this.#tickLater()
    await this.broker.start({
      message: (room, message) => this.#rooms.get(room)?.receive(message),
      doubt: (names) => this.#doubt(names)
    })
    this.#comparison.reachable = true
  }

  /** Whether the broker answered when it was last asked: it is asked every few seconds, as long as there is a quiet room. */
  get reachable (): boolean {
    return this.#comparison.reachable
  }

  get size (): number {
    return this.#rooms.size
  }

  /** How many rooms are joined here, and how many subscribe to them; the servers' own are not counted. */
  usage (): { rooms: number, subscriptions: number } {
    const usage = { rooms: 0, subscriptions: 0 }
    for (const { name, subscribers } of this.#rooms.values()) {
      if (name.startsWith(INTERNAL)) continue
      usage.rooms++
      usage.subscriptions += subscribers.size
    }
    return usage
  }

  countsOf (room: string): Counts {
    return room.startsWith(INTERNAL) ? this.#internalCounts : this.counts
  }

  /** Joins `sink` to a room. Rejects where the broker is away, or `signal` was aborted before the answer. */
  async subscribe (name: string, sink: Sink, from: From, signal?: Abortable): Promise<Subscriber> {
    if (this.#closed) throw retryAfter(new errors.Closing())
    let room = this.#rooms.get(name)
    if (room === undefined) this.#rooms.set(name, room = new Room(name, this))
    this.#empty.delete(room)
    room.joining++
    try {
      return await this.catchUp.begin(room, sink, from, signal)
    } finally {
      room.joining--
      this.left(room)
    }
  }

  /** See `Broker.publish`. Rejects where the broker gives no answer in time: whether anything was published is then unknown. */
  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    if (this.#closed) return messages.map(() => retryAfter(new errors.Closing()))
    const results = await this.inTime(this.broker.publish(messages))
    for (const [i, result] of results.entries()) if (!(result instanceof Error) && !result.duplicate && !messages[i]!.room.startsWith(INTERNAL)) this.counts.published++
    return results
  }

  /** See `Broker.read`. */
  read (room: string, request: ReadRequest): Promise<Window> {
    return this.inTime(this.broker.read(room, request))
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelTick?.()
    this.#comparison.close()
    this.#endRetry?.()
    for (const room of this.#rooms.values()) room.close()
    await this.broker.close()
  }

  dirty (room: Room): void {
    if (this.#dirty.length === 0) this.scheduler.soon(() => this.#flush())
    if (!room.dirty) {
      room.dirty = true
      this.#dirty.push(room)
    }
  }

  #flush (): void {
    const dirty = this.#dirty
    this.#dirty = []
    let budget = this.limits.slice
    const waiting: Room[] = []
    const unfinished: Room[] = []
    for (const room of dirty) {
      room.dirty = false
      if (budget <= 0) {
        waiting.push(room)
      } else {
        budget = room.delivery.flush(budget)
        if (room.delivery.pending) unfinished.push(room)
      }
    }
    // Those whose turn did not come are the first of the next.
    for (const room of [...waiting, ...unfinished]) this.dirty(room)
  }

  left (room: Room): void {
    if (room.subscribers.size > 0 || room.joining > 0 || room.closed) return
    this.#empty.delete(room)
    this.#empty.set(room, this.scheduler.now())
    if (this.#empty.size > LINGERING) this.#forget(this.#empty.keys().next().value as Room)
  }

  #forget (room: Room): void {
    this.#empty.delete(room)
    this.#comparison.forget(room)
    this.#rooms.delete(room.name)
    room.close()
    this.broker.unsubscribe(room.name).catch((error) => {
      this.log.warn({ err: error, room: room.name }, 'fan-out: a room could not be left at the broker')
    })
  }

  retry (): Promise<void> {
    this.#retrying ??= new Promise((resolve) => {
      const cancel = this.scheduler.after(this.#jittered(RETRY), () => this.#endRetry?.())
      this.#endRetry = () => {
        cancel()
        this.#retrying = undefined
        resolve()
      }
    })
    return this.#retrying
  }

  inTime<T> (work: Promise<T>): Promise<T> {
    return this.#deadlines.race(work, () => retryAfter(new errors.BrokerAway(`no answer within ${this.#timeout} ms`)))
  }

  #doubt (names?: readonly string[]): void {
    const rooms = names === undefined ? this.#rooms.values() : names.flatMap((name) => this.#rooms.get(name) ?? [])
    this.#comparison.doubt(rooms)
  }

  #tickLater (): void {
    this.#cancelTick = this.scheduler.after(this.#jittered(LOOK), () => {
      this.#tick()
      this.#tickLater()
    })
  }

  #tick (): void {
    const now = this.scheduler.now()
    for (const [room, since] of this.#empty) {
      if (now - since < this.#linger) break
      this.#forget(room)
    }
    // The last message before a silence can be lost on a healthy connection, with nothing after it to show the hole.
    const quiet: Room[] = []
    for (const room of this.#rooms.values()) {
      if (now - room.heard >= COMPARE) quiet.push(room)
      room.sweep(this.#linger)
    }
    this.#comparison.doubt(quiet)
  }

  #jittered (delay: number): number {
    return delay * (0.75 + 0.5 * this.scheduler.random())
  }
}

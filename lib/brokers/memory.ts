import type { Cursor } from '../cursor.js'
import type { Broker, BrokerEvents, Hole, Outgoing, Published, ReadRequest, StoredMessage, Window } from './broker.js'
import type { Scheduler } from '../scheduler.js'
import type { HistoryLimits } from './memory-history.js'
import { randomInt } from 'node:crypto'
import { errors } from '../errors.js'
import { systemScheduler } from '../scheduler.js'
import { IdempotencyKeys } from './idempotency.js'
import { MemoryHistory } from './memory-history.js'

const DAY = 24 * 60 * 60 * 1000
const KEYS = 100_000

export interface MemoryBrokerOptions {
  /** The window of a room. Default: 1,000 messages, 5 minutes, 4 MiB. */
  history: HistoryLimits
  /** In ms. */
  idempotencyTtl: number
  scheduler?: Scheduler
}

/**
 * A room that was published to, or that somebody is subscribed to. Every other room has no entry, and stands at offset
 * 0 of the base epoch (see `MemoryBroker.#bases`).
 */
interface RoomEntry {
  subscribed: boolean
  /** When it was last published to, subscribed to or left. */
  used: number
  /** The base epochs in force when it was made: what a cursor from before its first message can carry, the newest first. */
  bases: number[]
  /** Begun by its first message. */
  history: MemoryHistory | undefined
}

/**
 * One process, nothing kept beyond it. A restart is a new history: its epochs are drawn at random, so that an earlier
 * cursor is told by a gap.
 */
export class MemoryBroker implements Broker {
  readonly #options: MemoryBrokerOptions
  readonly #scheduler: Scheduler
  readonly #rooms = new Map<string, RoomEntry>()
  readonly #keys: IdempotencyKeys<Cursor>
  // A room without an entry must still give out a cursor that resumes for a day, and must not take one of a history
  // that was forgotten since for its own. So the epoch of such rooms changes daily; the last two are good; and an entry
  // with messages is kept until every base epoch it began under has run out, two days after its last use.
  #bases: number[] = [randomEpoch()]
  #basesSince: number
  #events: BrokerEvents | undefined
  #stopSweeping: (() => void) | undefined
  #turn: Promise<void> | undefined

  constructor (options: MemoryBrokerOptions) {
    this.#options = options
    this.#scheduler = options.scheduler ?? systemScheduler
    this.#basesSince = this.#scheduler.now()
    this.#keys = new IdempotencyKeys(options.idempotencyTtl, KEYS, () => this.#scheduler.now())
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    this.#sweepLater()
  }

  async subscribe (room: string): Promise<Cursor> {
    const entry = this.#open(room)
    entry.subscribed = true
    return topOf(entry)
  }

  async unsubscribe (room: string): Promise<void> {
    const entry = this.#rooms.get(room)
    if (entry === undefined) return
    entry.subscribed = false
    entry.used = this.#scheduler.now()
    // Where the position it gave out is good for another day without the entry, nothing need be kept: a client that
    // joins and leaves a million rooms leaves nothing behind.
    if (entry.history === undefined && entry.bases[0] === this.#currentBases()[0]) this.#rooms.delete(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    const live: Array<[string, StoredMessage]> = []
    const results = messages.map((message): Published | Error => {
      if (this.#events === undefined) return new errors.BrokerAway('it is not open')
      const key = message.idempotencyKey === undefined ? undefined : JSON.stringify([message.room, message.idempotencyKey])
      try {
        if (key !== undefined) {
          const first = this.#keys.find(key)
          if (first !== undefined) return { id: first, duplicate: true }
          this.#keys.reserve()
        }
        const stored = this.#append(message)
        if (key !== undefined) this.#keys.accept(key, stored.id)
        live.push([message.room, stored])
        return { id: stored.id, duplicate: false }
      } catch (error) {
        return error as Error
      }
    })
    queueMicrotask(() => {
      for (const [room, stored] of live) {
        if (this.#rooms.get(room)?.subscribed === true) this.#events?.message(room, stored)
      }
    })
    await this.#endOfTurn()
    return results
  }

  /** All publishes of a turn of the event loop are answered at its end: so what servers write in answer is written in one go, and wakes its readers once. */
  #endOfTurn (): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      this.#scheduler.soon(() => {
        this.#turn = undefined
        resolve()
      })
    })
    return this.#turn
  }

  async read (room: string, request: ReadRequest): Promise<Window> {
    const entry = this.#rooms.get(room) ?? this.#absent()
    this.#trim(entry)
    const [oldest, top] = [beforeOldest(entry), topOf(entry)]
    let from = oldest
    let hole: Hole | undefined
    if (request.since !== undefined) {
      const judged = this.#judge(entry, request.since)
      if (typeof judged !== 'number') hole = judged
      from = typeof judged === 'number' ? judged : judged.id.offset
    } else if (request.last !== undefined) {
      from = Math.max(oldest, top.offset - request.last)
    }
    const texts = entry.history?.after(from, request.limit) ?? []
    const entries: Array<StoredMessage | Hole> = texts.map((text, index) => stored(entry, from + 1 + index, text))
    if (hole !== undefined) entries.unshift(hole)
    const start = hole?.id ?? request.since ?? at(entry, from)
    return { entries, start, position: top, more: from + texts.length < top.offset }
  }

  async positions (rooms: ReadonlyArray<{ room: string }>): Promise<Cursor[]> {
    return rooms.map(({ room }) => topOf(this.#rooms.get(room) ?? this.#absent()))
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#stopSweeping?.()
    this.#rooms.clear()
  }

  /** How many rooms and keys it remembers, for tests and for `stats()`. */
  get size (): { rooms: number, keys: number } {
    return { rooms: this.#rooms.size, keys: this.#keys.size }
  }

  #append ({ room, text }: Outgoing): StoredMessage {
    const entry = this.#open(room)
    entry.used = this.#scheduler.now()
    entry.history ??= new MemoryHistory(randomEpoch())
    entry.history.push(text, entry.used, this.#options.history)
    return stored(entry, entry.history.top, text)
  }

  /** The offset to continue from, or the hole that a reader who stands at `since` falls into. */
  #judge (entry: RoomEntry, since: Cursor): number | Hole {
    const [before, top] = [beforeOldest(entry), topOf(entry)]
    const beforeFirst = since.offset === 0 && entry.bases.includes(since.epoch)
    if (!beforeFirst && since.epoch !== entry.history?.epoch) return { type: 'gap', reason: 'epoch', id: at(entry, before) }
    if (since.offset > top.offset) return { type: 'gap', reason: 'forked', id: top, from: top }
    if (since.offset < before) return { type: 'gap', reason: 'expired', id: at(entry, before) }
    return since.offset
  }

  #open (room: string): RoomEntry {
    let entry = this.#rooms.get(room)
    if (entry === undefined) this.#rooms.set(room, entry = this.#absent())
    return entry
  }

  #absent (): RoomEntry {
    return { subscribed: false, used: this.#scheduler.now(), bases: this.#currentBases(), history: undefined }
  }

  #currentBases (): number[] {
    const now = this.#scheduler.now()
    const days = Math.floor((now - this.#basesSince) / DAY)
    if (days > 0) {
      this.#bases = days === 1 ? [randomEpoch(), this.#bases[0] as number] : [randomEpoch()]
      this.#basesSince += days * DAY
    }
    return this.#bases
  }

  #trim ({ history }: RoomEntry): void {
    history?.trim(this.#scheduler.now(), this.#options.history)
  }

  #sweepLater (): void {
    const interval = Math.min(Math.max(this.#options.history.maxAge / 4, 1000), 60_000)
    this.#stopSweeping = this.#scheduler.after(interval, () => {
      this.#sweep()
      this.#sweepLater()
    })
  }

  #sweep (): void {
    this.#keys.expire()
    const forgotten = this.#scheduler.now() - 2 * DAY
    for (const [room, entry] of this.#rooms) {
      this.#trim(entry)
      if (!entry.subscribed && entry.used <= forgotten) this.#rooms.delete(room)
    }
  }
}

function stored (entry: RoomEntry, offset: number, text: string): StoredMessage {
  return { type: 'message', id: at(entry, offset), previous: at(entry, offset - 1), text }
}

function topOf (entry: RoomEntry): Cursor {
  return at(entry, entry.history?.top ?? 0)
}

function beforeOldest ({ history }: RoomEntry): number {
  return history?.before ?? 0
}

function at ({ bases, history }: RoomEntry, offset: number): Cursor {
  return { epoch: history === undefined || offset === 0 ? bases[0] as number : history.epoch, offset }
}

function randomEpoch (): number {
  return randomInt(1, 2 ** 48 - 1)
}

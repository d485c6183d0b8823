import type { Cursor } from '../cursor.js'
import type { Hole, StoredMessage } from '../brokers/broker.js'
import type { Entry } from '../message.js'
import { sameCursor } from '../cursor.js'
import { Batch, Gap, Message } from '../message.js'

/** What a tail may hold: what the window holds, and no more bytes than a cache should. */
export interface TailLimits {
  bytes: number
  messages: number
  /** In ms. */
  maxAge: number
}

// A replay is written in pieces of about this many bytes, so that a sink can say between them that it is full.
const PIECE = 64 * 1024

/**
 * A stretch of a room's history without a hole that is not told in it: the entries that follow the position `base`, in
 * order. A room keeps two: its **tail**, which grows with the live stream, and a **backlog**,
 * what was last read from the broker.
 */
export class Run {
  base: Cursor
  readonly entries: Entry[]
  #bytes = 0
  #piece: Batch | undefined
  /** When each came, where it was pushed. */
  readonly #times: number[] = []
  readonly #ordered: boolean

  /** `ordered`: offsets grow, whoever published. */
  constructor (base: Cursor, entries: Entry[] = [], ordered = true) {
    this.base = base
    this.entries = entries
    this.#ordered = ordered
  }

  /** How many entries stand at or before `cursor`, so that `entries.slice(n)` continues from it; −1 where it is no position of this run. */
  indexAfter (cursor: Cursor): number {
    if (sameCursor(cursor, this.base)) return 0
    if (!this.#ordered) return this.entries.findLastIndex(({ id }) => sameCursor(id, cursor)) + 1 || -1
    // Offsets never fall within a run, but a gap that opens an epoch can repeat the one before it.
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.entries[middle] as Entry).id.offset < cursor.offset) low = middle + 1
      else high = middle
    }
    for (; low < this.entries.length; low++) {
      const { id } = this.entries[low] as Entry
      if (id.offset !== cursor.offset) return -1
      if (id.epoch === cursor.epoch) return low + 1
    }
    return -1
  }

  /**
   * The entries from `index` on, as many as are written at once, and up to the next gap. The piece last asked for is kept:
   * those who come back together ask for the same.
   */
  piece (room: string, index: number): Batch {
    const first = this.entries[index]
    let end = index
    for (let bytes = 0; end < this.entries.length && bytes < PIECE; end++) {
      const entry = this.entries[end] as Entry
      bytes += entry.type === 'gap' ? PIECE : entry.text.length
    }
    if (this.#piece?.entries[0] !== first || this.#piece?.entries.length !== end - index) this.#piece = new Batch(room, this.entries.slice(index, end))
    return this.#piece
  }

  forgetPiece (): void {
    this.#piece = undefined
  }

  get end (): Cursor {
    return this.entries.at(-1)?.id ?? this.base
  }

  /** Adds a message that came at `now`, and forgets the oldest past the limits; at least the newest stays. */
  push (message: Message, now: number, limits: TailLimits): void {
    this.entries.push(message)
    this.#times.push(now)
    this.#bytes += message.size
    const last = this.entries.length - 1
    let drop = Math.min(last, Math.max(0, this.entries.length - limits.messages))
    let bytes = this.#bytes
    for (let i = 0; i < drop; i++) bytes -= (this.entries[i] as Message).size
    // Where there is too much, down to three quarters at once.
    if (bytes > limits.bytes) {
      for (; bytes > limits.bytes * 0.75 && drop < last; drop++) bytes -= (this.entries[drop] as Message).size
    }
    this.#drop(drop)
  }

  /** Forgets what came before `oldest`. */
  expire (oldest: number): void {
    let drop = 0
    while (drop < this.#times.length && (this.#times[drop] as number) < oldest) drop++
    this.#drop(drop)
  }

  #drop (count: number): void {
    if (count === 0) return
    this.base = (this.entries[count - 1] as Entry).id
    for (const entry of this.entries.splice(0, count)) this.#bytes -= (entry as Message).size
    this.#times.splice(0, count)
  }
}

/** What a broker gave, as the rooms hand it on. */
export function toEntry (room: string, stored: StoredMessage | Hole): Entry {
  return stored.type === 'message' ? new Message(room, stored.id, stored.text) : new Gap(room, stored.id, stored.reason, stored.from)
}

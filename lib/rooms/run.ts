import type { Cursor } from '../cursor.js'
import type { Hole, StoredMessage } from '../brokers/broker.js'
import type { Entry } from '../message.js'
import { sameCursor } from '../cursor.js'
import { Gap, Message } from '../message.js'

/**
 * A stretch of a room's history without a hole that is not told in it: the entries that follow the position `base`, in
 * order. A room keeps two: its **tail**, which grows with the live stream and is bounded by bytes, and a **backlog**,
 * what was last read from the broker.
 */
export class Run {
  base: Cursor
  readonly entries: Entry[]
  #bytes = 0

  constructor (base: Cursor, entries: Entry[] = []) {
    this.base = base
    this.entries = entries
  }

  /** How many entries stand at or before `cursor`, so that `entries.slice(n)` continues from it; −1 where it is no position of this run. */
  indexAfter (cursor: Cursor): number {
    if (sameCursor(cursor, this.base)) return 0
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

  get end (): Cursor {
    return this.entries.at(-1)?.id ?? this.base
  }

  /** Adds a message, and forgets the oldest past `limit` bytes; at least the newest stays. */
  push (message: Message, limit: number): void {
    this.entries.push(message)
    this.#bytes += message.size
    if (this.#bytes <= limit) return
    // Down to three quarters at once, so that the array is not shifted at every message.
    let drop = 0
    while (this.#bytes > limit * 0.75 && drop < this.entries.length - 1) this.#bytes -= (this.entries[drop++] as Message).size
    if (drop > 0) {
      this.base = (this.entries[drop - 1] as Entry).id
      this.entries.splice(0, drop)
    }
  }

  /** Starts anew at `base`. */
  reset (base: Cursor): void {
    this.base = base
    this.entries.length = 0
    this.#bytes = 0
  }
}

/** What a broker gave, as the rooms hand it on. */
export function toEntry (room: string, stored: StoredMessage | Hole): Entry {
  return stored.type === 'message' ? new Message(room, stored.id, stored.text) : new Gap(room, stored.id, stored.reason, stored.from)
}

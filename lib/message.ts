import type { Cursor } from './cursor.js'
import { formatCursor } from './cursor.js'

/** What a wire format makes of an entry. One instance a format, since encodings are remembered by it. */
export interface Format {
  encode (entry: Entry): Buffer
}

/** Why messages were lost to a client: `expired` (the window has moved past), `epoch` (another history), `overflow` (more than may be replayed), `forked` (history was rewritten by a failover). */
export type GapReason = 'expired' | 'epoch' | 'overflow' | 'forked'

/** A message of a room. `text` is its JSON exactly as it was published (line breaks between tokens apart). */
export class Message {
  readonly type = 'message'
  readonly room: string
  readonly id: Cursor
  readonly text: string
  #format: Format | undefined
  #encoded: Buffer | undefined
  #others: Map<Format, Buffer> | undefined

  constructor (room: string, id: Cursor, text: string) {
    this.room = room
    this.id = id
    this.text = text
  }

  /** Its bytes on the wire, made at the first call for each format. The first format used has a field of its own: a map for every message would cost more than most messages. */
  encode (format: Format): Buffer {
    if (this.#format === format) return this.#encoded as Buffer
    if (this.#format === undefined) {
      this.#format = format
      this.#encoded = format.encode(this)
      return this.#encoded
    }
    this.#others ??= new Map()
    let encoded = this.#others.get(format)
    if (encoded === undefined) this.#others.set(format, encoded = format.encode(this))
    return encoded
  }

  /** About what it holds in memory, in bytes, once it is encoded. */
  get size (): number {
    return 2 * this.text.length + 200
  }
}

/** A hole in a subscriber's record: where it now stands (`id`), why, and for `forked` the last common position (`from`). */
export class Gap {
  readonly type = 'gap'
  readonly room: string
  readonly id: Cursor
  readonly reason: GapReason
  readonly from: Cursor | undefined

  constructor (room: string, id: Cursor, reason: GapReason, from?: Cursor) {
    this.room = room
    this.id = id
    this.reason = reason
    this.from = from
  }

  encode (format: Format): Buffer {
    return format.encode(this)
  }

  /** The fields of its frame, without the type. */
  toJSON (): { room: string, id: string, reason: GapReason, from?: string } {
    const { room, id, reason, from } = this
    return { room, id: formatCursor(id), reason, ...(from && { from: formatCursor(from) }) }
  }
}

export type Entry = Message | Gap

/** Entries of one room that are written together: the bytes are joined once for each format, whatever the number of sockets. */
export class Batch {
  readonly room: string
  readonly entries: readonly Entry[]
  #joined = new Map<Format, Buffer>()

  constructor (room: string, entries: readonly Entry[]) {
    this.room = room
    this.entries = entries
  }

  /** About how many bytes its messages have. */
  get size (): number {
    return this.entries.reduce((size, entry) => size + (entry.type === 'message' ? entry.text.length : 0), 0)
  }

  /** Where whoever was given it stands. */
  get end (): Cursor {
    return (this.entries.at(-1) as Entry).id
  }

  encode (format: Format): Buffer {
    let joined = this.#joined.get(format)
    if (joined === undefined) {
      const first = this.entries[0] as Entry
      joined = this.entries.length === 1 ? first.encode(format) : Buffer.concat(this.entries.map((entry) => entry.encode(format)))
      this.#joined.set(format, joined)
    }
    return joined
  }
}

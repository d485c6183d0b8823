import type { Hole, ReadRequest, StoredMessage, Window } from '../../lib/brokers/broker.js'
import type { Cursor } from '../../lib/cursor.js'
import { formatCursor } from '../../lib/cursor.js'

/** A stretch of a lineage under one epoch: offsets above `start`, up to `end`. `flagged`: something was lost where it begins. */
export interface Segment {
  readonly epoch: number
  readonly start: number
  end: number
  readonly flagged: boolean
  /** The segment that it continues, from `start` on; undefined where everything before was lost. */
  readonly parent: Segment | undefined
}

/** A message as it truly was, dead or alive. */
export interface Truth extends StoredMessage {
  /** Its place in the order of everything that ever happened to the room. */
  readonly moment: number
  acknowledged: boolean
}

/**
 * The truth about one room: its lineage of segments, what of it is retained, and everything that was ever published to
 * it. What the servers and clients say is held against it.
 */
export class History {
  /** Every message ever, by id. */
  readonly messages = new Map<string, Truth>()
  /** Counts everything that changes what a reader would read. */
  changes = 0
  /** The present lineage, oldest first. */
  #lineage: Segment[]
  #window: Truth[] = []
  /** Segments that a failover left no trace of. */
  readonly #forgotten: Segment[] = []
  readonly #segments = new Map<number, Segment>()
  readonly #moments = new Map<string, number>()
  #moment = 0
  #epoch: () => number
  #size: number

  /** `epoch` draws a new one; `size` bounds what is retained. */
  constructor (epoch: () => number, size: number) {
    this.#epoch = epoch
    this.#size = size
    this.#lineage = [this.#open(undefined, 0, false)]
  }

  get top (): Cursor {
    const { epoch, end } = this.#last
    return { epoch, offset: end }
  }

  /** The position before the oldest message retained. */
  get before (): Cursor {
    return this.#window[0]?.previous ?? this.top
  }

  get #last (): Segment {
    return this.#lineage.at(-1) as Segment
  }

  #open (parent: Segment | undefined, start: number, flagged: boolean): Segment {
    const segment = { epoch: this.#epoch(), start, end: start, flagged, parent }
    this.changes++
    this.#segments.set(segment.epoch, segment)
    this.#moments.set(formatCursor({ epoch: segment.epoch, offset: start }), ++this.#moment)
    return segment
  }

  append (text: string): Truth {
    const segment = this.#last
    const previous = this.canonical(this.top)
    segment.end++
    const message: Truth = { type: 'message', id: this.top, previous, text, moment: ++this.#moment, acknowledged: false }
    this.changes++
    this.messages.set(formatCursor(message.id), message)
    this.#moments.set(formatCursor(message.id), message.moment)
    this.#window.push(message)
    if (this.#window.length > this.#size) this.#window.shift()
    return message
  }

  /** The window moves: only the newest `keep` are retained. */
  forget (keep: number): void {
    this.changes++
    this.#window = keep === 0 ? [] : this.#window.slice(-keep)
  }

  /** Everything is lost. */
  reset (): void {
    this.#window = []
    this.#lineage = [this.#open(undefined, 0, false)]
  }

  /** A failover: where it is `flagged` the newest `lost` messages are no more, nor are the segments that held nothing else. A new segment begins. */
  fork (lost: number, flagged: boolean): void {
    let left = flagged ? lost : 0
    for (; left > this.#last.end - this.#last.start && this.#lineage.length > 1; this.#forgotten.push(this.#lineage.pop() as Segment)) left -= this.#last.end - this.#last.start
    const segment = this.#last
    segment.end -= Math.min(left, segment.end - segment.start)
    this.#window = this.#window.filter(({ id }) => id.offset <= segment.end)
    this.#lineage.push(this.#open(segment, segment.end, flagged))
  }

  retains (message: Truth): boolean {
    return this.#window.includes(message)
  }

  /** One spelling for positions between which nothing can be: where a segment begins without a loss, it is the end of the one before. */
  canonical ({ epoch, offset }: Cursor): Cursor {
    let segment = this.#segments.get(epoch)
    while (segment?.parent !== undefined && !segment.flagged && offset === segment.start) segment = segment.parent
    return { epoch: segment?.epoch ?? epoch, offset }
  }

  /** When a position came to be; undefined where it never was. */
  moment (position: Cursor): number | undefined {
    return this.#moments.get(formatCursor(position))
  }

  /** Whether `a` lies on the way to `b`, and over how many flagged boundaries that way leads; undefined where it does not. */
  between (a: Cursor, b: Cursor): { flagged: number } | undefined {
    let flagged = 0
    let limit = b.offset
    for (let segment = this.#segments.get(b.epoch); segment !== undefined; segment = segment.parent) {
      if (segment.epoch === a.epoch) return a.offset <= limit && a.offset >= segment.start ? { flagged } : undefined
      if (segment.flagged) flagged++
      limit = segment.start
    }
    return undefined
  }

  /** The furthest that history ever went from a position, dead ends included. */
  furthest (position: Cursor): Cursor {
    let furthest = position
    for (const { id } of this.messages.values()) if (id.offset > furthest.offset && this.between(position, id) !== undefined) furthest = id
    return furthest
  }

  /** Whether a reader at `position`, by any name of it, is known to a history that stands at `other`. */
  knows (other: Cursor, position: Cursor): boolean {
    const { epoch, offset } = this.canonical(position)
    for (const { epoch: forgotten, start } of this.#forgotten) {
      const name = this.canonical({ epoch: forgotten, offset: start })
      if (name.epoch === epoch && name.offset === offset) return false
    }
    for (let segment = this.#segments.get(other.epoch); segment !== undefined; segment = segment.parent) {
      if (segment.epoch === position.epoch) return position.offset >= segment.start
    }
    return false
  }

  read ({ since, last, limit }: ReadRequest): Window {
    const hole = since === undefined ? undefined : this.#judge(since)
    const start = hole?.id ?? since ?? this.#newest(last)
    const entries: Array<StoredMessage | Hole> = hole === undefined ? [] : [hole]
    const rest = this.#window.filter(({ id }) => id.offset > start.offset)
    let index = this.#lineage.findIndex(({ epoch }) => epoch === start.epoch)
    const passTo = (segment: Segment): void => {
      let from: Cursor | undefined
      for (; this.#lineage[index] !== segment; index++) {
        const { epoch, end: offset } = this.#lineage[index] as Segment
        const next = this.#lineage[index + 1] as Segment
        if (!next.flagged) continue
        from ??= { epoch, offset }
        const gap = entries.at(-1)
        // One hole where several begin at one place.
        if (gap?.type === 'gap' && gap.id.offset === next.start) entries.pop()
        if (gap?.type === 'gap' && gap.id.offset === next.start && gap.from !== undefined) from = gap.from
        entries.push({ type: 'gap', reason: 'forked', id: { epoch: next.epoch, offset: next.start }, from })
      }
    }
    for (const message of rest.slice(0, limit)) {
      passTo(this.#segments.get(message.id.epoch) as Segment)
      entries.push(message)
    }
    const more = rest.length > limit
    if (!more) passTo(this.#last)
    const [first] = entries
    return { entries, start: first?.type === 'gap' ? first.id : start, position: this.top, more }
  }

  /** The position before the newest `count` messages retained. */
  #newest (count = Infinity): Cursor {
    return count === 0 ? this.top : this.#window[Math.max(0, this.#window.length - count)]?.previous ?? this.top
  }

  #judge (since: Cursor): Hole | undefined {
    const { before } = this
    const index = this.#lineage.findIndex(({ epoch }) => epoch === since.epoch)
    const segment = this.#lineage[index]
    if (segment === undefined || since.offset < segment.start) return { type: 'gap', reason: 'epoch', id: before }
    if (since.offset > segment.end) {
      const next = this.#lineage[index + 1]
      const begin = next === undefined ? this.top : { epoch: next.epoch, offset: next.start }
      const id = before.offset > begin.offset ? before : begin
      return { type: 'gap', reason: 'forked', id, from: { epoch: segment.epoch, offset: segment.end } }
    }
    return since.offset < before.offset ? { type: 'gap', reason: 'expired', id: before } : undefined
  }
}

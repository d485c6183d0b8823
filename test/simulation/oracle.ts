import type { Cursor } from '../../lib/cursor.js'
import type { Entry, Gap, Message } from '../../lib/message.js'
import type { Subscribed } from '../../lib/rooms/subscriber.js'
import type { History, Truth } from './history.js'
import { formatCursor, sameCursor } from '../../lib/cursor.js'

/** What a client asked for, as far as it binds the answer. */
export interface Asked {
  since: Cursor | undefined
  /** The newest position that its server had told anybody live: it knew of all up to it. */
  known: Cursor | undefined
}

interface Options {
  /** Whether the rooms have one. */
  snapshots: boolean
  /** The most messages that are replayed. */
  replay: number | undefined
  /** Whether one read brings the whole window. Only then is known at once what follows: how many, and that no gap does. */
  whole: boolean
  /** Whether messages grow too old for a tail: what was promised may do so before it is sent. */
  ages: boolean
  wrong (what: string): void
}

/**
 * What one client was told of one room, over all its resumes, held against the truth as it comes. `wrong` is called
 * with each thing that should not be.
 */
export class Record {
  /** Where the client stands: the cursor it would resume with. */
  standing: Cursor | undefined
  readonly #history: History
  readonly #wrong: (what: string) => void
  readonly #snapshots: boolean
  readonly #replay: number | undefined
  readonly #whole: boolean
  readonly #ages: boolean
  /** When the position came to be from which on it is owed everything. */
  #start = Infinity
  readonly #received = new Set<Truth>()
  /** The received that were neither disowned nor followed by another history. */
  #valid: Truth[] = []
  /** From what moment to what moment a gap stands for what was not received. */
  readonly #gaps: Array<{ from: number, to: number }> = []

  // Of the present subscription.
  #recovered: boolean | undefined
  #told = 0
  #owesGap: Cursor | undefined
  #owesSnapshot = false
  /** So many messages were promised before any gap, while the window begins at `#before`. */
  #promised = 0
  #before: Cursor | undefined
  #begins = false

  constructor (history: History, options: Options) {
    this.#history = history
    this.#wrong = options.wrong
    this.#snapshots = options.snapshots
    this.#replay = options.replay
    this.#whole = options.whole
    this.#ages = options.ages
  }

  subscribed ({ since, known }: Asked, { id, recovered, replayed }: Subscribed): void {
    const { before } = this.#history
    this.#recovered = recovered
    this.#told = 0
    this.#owesGap = undefined
    this.#begins = true
    if ((since === undefined) !== (recovered === undefined)) this.#wrong(`recovered: ${recovered} for since ${show(since)}`)
    if (since !== undefined && this.standing === undefined) this.#stand(since)
    if (since === undefined) this.#stand(id)
    else if (!sameCursor(id, since)) {
      if (recovered !== false) this.#wrong(`subscribed at ${show(id)}, not at ${show(since)}, without a gap`)
      this.#owesGap = id
    }
    this.#owesSnapshot = this.#snapshots && since === undefined
    // What only its server still holds may be gone before it is sent.
    const retained = since !== undefined && this.#history.read({ since, limit: 1 }).entries[0]?.type !== 'gap'
    this.#promised = recovered === true && retained && this.#whole && !this.#ages ? replayed : 0
    this.#before = before
    // Its server may not know yet that history went another way.
    const most = this.#history.furthest(id)
    if (replayed > most.offset - id.offset) this.#wrong(`replayed: ${replayed}, up to ${show(most)}`)
    if (this.#whole && since !== undefined && known !== undefined && this.#lies(known, id, this.#history.top) && replayed < known.offset - id.offset) {
      this.#wrong(`replayed: ${replayed}, but the server is at ${show(known)}`)
    }
  }

  entry (entry: Entry, stalled: boolean): void {
    if (this.standing === undefined) return this.#wrong(`${show(entry.id)} before subscribed`)
    if (entry.type === 'message') this.#message(entry)
    else this.#gap(entry, stalled)
    this.#begins = false
    this.#stand(entry.id)
  }

  snapshot (id: Cursor): void {
    if (!this.#owesSnapshot) this.#wrong('a snapshot that nobody asked for')
    if (!this.#same(id, this.standing)) this.#wrong(`a snapshot for ${show(id)} at ${show(this.standing)}`)
    this.#owesSnapshot = false
  }

  #stand (position: Cursor): void {
    this.standing = position
    if (this.#start === Infinity) this.#start = this.#history.moment(position) ?? Infinity
  }

  #message ({ id, text }: Message): void {
    const truth = this.#history.messages.get(formatCursor(id))
    if (truth === undefined) return this.#wrong(`message ${show(id)} was never published`)
    if (truth.text !== text) this.#wrong(`message ${show(id)} is ${text}, not ${truth.text}`)
    if (this.#owesGap !== undefined) this.#wrong(`message ${show(id)} where a gap was due`)
    if (this.#owesSnapshot) this.#wrong(`message ${show(id)} where a snapshot was due`)
    if (!this.#same(truth.previous, this.standing)) this.#wrong(`message ${show(id)} follows ${show(truth.previous)}, but the client stands at ${show(this.standing)}`)
    this.#promised--
    this.#received.add(truth)
    this.#valid.push(truth)
  }

  #gap (gap: Gap, stalled: boolean): void {
    const { id, reason, from } = gap
    const standing = this.standing as Cursor
    const history = this.#history
    if (this.#owesGap !== undefined && !sameCursor(this.#owesGap, id)) this.#wrong(`the gap moves to ${show(id)}, subscribed said ${show(this.#owesGap)}`)
    if (this.#owesSnapshot) this.#wrong(`a gap to ${show(id)} where a snapshot was due`)
    if (history.moment(id) === undefined) this.#wrong(`the gap moves to ${show(id)}, which never was`)
    const way = history.between(standing, id)
    if (reason === 'expired' || reason === 'overflow') {
      if (way === undefined) this.#wrong(`${reason} from ${show(standing)} to ${show(id)}: no way leads there, and nothing is disowned`)
      else if (this.#same(standing, id)) this.#wrong(`${reason} at ${show(id)}, where nothing is missing`)
    }
    if (reason === 'expired') {
      for (const message of history.messages.values()) {
        if (history.retains(message) && this.#lies(message.id, standing, id)) this.#wrong(`the gap to ${show(id)} hides ${show(message.id)}, which is retained`)
      }
    }
    if (reason === 'overflow' && (this.#replay === undefined || !this.#begins)) this.#wrong('an overflow without a limit')
    if (reason === 'epoch' && history.knows(id, standing)) this.#wrong(`epoch from ${show(standing)} to ${show(id)}, which is the same history`)
    if (reason === 'forked') this.#forked(standing, id, from, way)
    // A reader who takes all that comes is overtaken by the window only where it moves meanwhile.
    if (this.#promised > 0 && !stalled && sameCursor(this.#before as Cursor, history.before)) this.#wrong(`recovered: true, but a gap to ${show(id)} before all came`)
    this.#promised = 0

    this.#told++
    this.#owesGap = undefined
    this.#owesSnapshot = this.#snapshots
    if (reason === 'epoch') this.#valid = []
    this.#gaps.push({ from: history.moment(standing) ?? 0, to: history.moment(id) ?? 0 })
  }

  #forked (standing: Cursor, id: Cursor, from: Cursor | undefined, way: { flagged: number } | undefined): void {
    const history = this.#history
    if (way !== undefined && way.flagged === 0) this.#wrong(`forked from ${show(standing)} to ${show(id)}, where nothing was lost`)
    if (from === undefined) return this.#wrong('forked, without from')
    if (history.between(from, id) === undefined) this.#wrong(`forked from ${show(from)}, which is not on the way to ${show(id)}`)
    const [kept, disowned]: [Truth[], Truth[]] = [[], []]
    for (const message of this.#valid) (message.id.offset <= from.offset ? kept : disowned).push(message)
    for (const message of kept) if (history.between(message.id, id) === undefined) this.#wrong(`${show(message.id)} is not disowned by the fork from ${show(from)} to ${show(id)}`)
    for (const message of disowned) if (history.between(message.id, id) !== undefined) this.#wrong(`${show(message.id)} is disowned by the fork from ${show(from)}, but lives on at ${show(id)}`)
    this.#valid = kept
  }

  /** To be called where all is healed and quiet, and the client connected. */
  complete (): void {
    const history = this.#history
    const { standing } = this
    if (!this.#same(standing, history.top)) this.#wrong(`the client stands at ${show(standing)}, the room at ${show(history.top)}`)
    if (this.#recovered === false && this.#told === 0) this.#wrong('recovered: false, and no gap')
    if (this.#owesGap !== undefined) this.#wrong('a gap was due')
    if (this.#owesSnapshot) this.#wrong('a snapshot was due')
    for (const message of this.#valid) if (history.between(message.id, history.top) === undefined) this.#wrong(`${show(message.id)} is lost to history, and was not disowned`)
    for (const message of history.messages.values()) {
      if (!message.acknowledged || message.moment <= this.#start || this.#received.has(message)) continue
      if (!this.#gaps.some(({ from, to }) => from < message.moment && message.moment <= to)) this.#wrong(`${show(message.id)} was acknowledged, is missing, and no gap tells it`)
    }
  }

  /** Whether a position lies after `a`, up to `b`. */
  #lies (position: Cursor, a: Cursor, b: Cursor): boolean {
    return position.offset > a.offset && this.#history.between(a, position) !== undefined && this.#history.between(position, b) !== undefined
  }

  #same (a: Cursor | undefined, b: Cursor | undefined): boolean {
    return a !== undefined && b !== undefined && sameCursor(this.#history.canonical(a), this.#history.canonical(b))
  }
}

export function show (cursor: Cursor | undefined): string {
  return cursor === undefined ? 'nowhere' : formatCursor(cursor)
}

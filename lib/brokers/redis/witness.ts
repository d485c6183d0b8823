import type { Cursor } from '../../cursor.js'
import type { Hole, StoredMessage } from '../broker.js'

// Of the beginnings of epochs, as many as are remembered.
const BEGINNINGS = 32

/** What a connection has to the room's Redis at present: another after each reconnect, and where another node has the room. */
export interface Link { readonly index: number, readonly link: string }

/**
 * What this server has seen of a room: the positions that it received or had acknowledged and that the broker has not
 * confirmed since. One for each epoch: where history forks, a position of the other branch does not stand for them,
 * however high it is.
 */
export class Witness {
  #seen: readonly Cursor[] = []
  /** Where epochs began: the position before their first. */
  #beginnings: Map<number, Cursor> | undefined
  /** The last confirmed or observed, in the order of coming. */
  #last: Cursor | undefined
  /** By connection: the link over which the room was last asked about, and the epoch in which it then stood. */
  readonly #contacts: Array<{ link: string, epoch: number } | undefined> = []

  observe (position: Cursor): void {
    const before = this.#seen.find(({ epoch }) => epoch === position.epoch)
    // Nearly always there is one, and each message that comes takes its place.
    if (before === undefined) this.#seen = [...this.#seen, position]
    else if (position.offset > before.offset) this.#seen = this.#seen.length === 1 ? [position] : [...this.#seen.filter((other) => other !== before), position]
    if (this.#last?.epoch !== position.epoch || position.offset > this.#last.offset) this.#last = position
  }

  /**
   * Takes a message or a hole as it came. Answers whether it shows that something was lost: it is of another history
   * than what was seen before.
   */
  learn (entry: StoredMessage | Hole): boolean {
    const { id } = entry
    const before = entry.type === 'message' ? entry.previous : entry.from
    if (before !== undefined && before.epoch !== id.epoch && this.#beginnings?.has(id.epoch) !== true) {
      const beginnings = this.#beginnings ??= new Map<number, Cursor>()
      beginnings.set(id.epoch, before)
      const [oldest] = beginnings.keys()
      if (beginnings.size > BEGINNINGS) beginnings.delete(oldest as number)
    }
    const last = this.#last
    this.observe(id)
    return last !== undefined && last.epoch !== id.epoch && !(before?.epoch === last.epoch && before.offset >= last.offset)
  }

  /** What is to be brought with the next call of a script. */
  get seen (): readonly Cursor[] {
    return this.#seen
  }

  /**
   * What a link means to the room, where no identity says which Redis it leads to: nothing (empty) after the first answer
   * that came over it; 0 where nothing is feared for; else the epoch in which this server last knew the room to stand.
   */
  suspicion ({ index, link }: Link, trusts: boolean): number | '' {
    const contact = this.#contacts[index]
    if (contact?.link === link) return ''
    return trusts ? 0 : contact?.epoch ?? 0
  }

  /** The one position that is to be brought, where the room has been asked about over this link before. */
  settled ({ index, link }: Link): Cursor | undefined {
    return this.#seen.length === 1 && this.#contacts[index]?.link === link ? this.#seen[0] : undefined
  }

  /** A script has judged `brought`, over `over`, and the room stands at `top`. What was seen since is still to be brought. */
  confirm (brought: readonly Cursor[], top: Cursor, { index, link }: Link): void {
    this.#contacts[index] = { link, epoch: top.epoch }
    this.#seen = this.#seen.filter((position) => !brought.includes(position))
    this.observe(top)
  }

  /** See `judge`. */
  forebears ({ epoch }: Cursor): Cursor[] {
    const forebears: Cursor[] = []
    for (let before = this.#beginnings?.get(epoch); before !== undefined && forebears.length < BEGINNINGS; before = this.#beginnings?.get(before.epoch)) forebears.push(before)
    return forebears
  }
}

// Rooms that were published to here, and to which nobody here is subscribed: of as many is remembered what was acknowledged.
const UNSUBSCRIBED = 20_000

/** The witness of each room: of those subscribed to here, and of those last published to. */
export class Witnesses {
  readonly #subscribed = new Map<string, Witness>()
  readonly #others = new Map<string, Witness>()

  get (room: string): Witness | undefined {
    return this.#subscribed.get(room) ?? this.#others.get(room)
  }

  of (room: string): Witness {
    const subscribed = this.#subscribed.get(room)
    if (subscribed !== undefined) return subscribed
    const witness = this.#others.get(room) ?? new Witness()
    this.#others.delete(room)
    this.#others.set(room, witness)
    if (this.#others.size > UNSUBSCRIBED) this.#others.delete(this.#others.keys().next().value as string)
    return witness
  }

  join (room: string): void {
    this.#subscribed.set(room, this.of(room))
    this.#others.delete(room)
  }

  leave (room: string): void {
    const witness = this.#subscribed.get(room)
    this.#subscribed.delete(room)
    if (witness !== undefined) this.#others.set(room, witness)
  }

  /** Rooms that nobody here would compare. */
  get unsubscribed (): string[] {
    return [...this.#others.keys()]
  }
}

import type { ReadRequest, Window } from '../brokers/broker.js'
import type { Cursor } from '../cursor.js'
import type { Room } from './room.js'
import { formatCursor, notAfter, sameCursor } from '../cursor.js'
import { Run, toEntry } from './run.js'

/**
 * What was last read from the broker of a room's window, shared by all who read on in it: however many come back at
 * once, the broker is read a few times.
 */
export class Backlog {
  readonly #room: Room
  #run: Run | undefined
  /** The top of the room when it was read, where it was read to its end. */
  #top: Cursor | undefined
  #used = 0
  /** Who waits for the next read. */
  #wanted: Cursor[] = []
  #reading: Promise<void> = Promise.resolve()
  #nextReading: Promise<void> | undefined
  readonly #shared = new Map<string, Promise<Window>>()

  constructor (room: Room) {
    this.#room = room
  }

  get top (): Cursor | undefined {
    return this.#top
  }

  /** The entries read, and the index of the first after `position`. `fresh`: they were asked for since the position was given. */
  find (position: Cursor, fresh: boolean): [Run, number] | undefined {
    const run = this.#run
    if (run === undefined) return undefined
    this.#used = this.#room.host.scheduler.now()
    const first = run.entries[0]
    // Whoever stands between where it was read from and where its messages begin falls into the same hole.
    const expired = first?.type === 'gap' && first.reason === 'expired' && notAfter(run.base, position) && notAfter(position, first.id)
    const index = expired && !sameCursor(position, first.id) ? 0 : run.indexAfter(position)
    // It was above the top when it was read from, and need not be any more: only the broker can tell.
    const above = first?.type === 'gap' && first.reason === 'forked' && first.id.epoch === run.base.epoch
    if (above && index === 0 && !fresh) return undefined
    return index < 0 ? undefined : [run, index]
  }

  /**
   * Reads from `position`, or from before it, or for whoever asked first: one read for all who ask while another is under
   * way. None is answered by a read that was begun before it asked: that may be older than its cursor.
   */
  read (position: Cursor): Promise<void> {
    this.#wanted.push(position)
    this.#nextReading ??= this.#reading.then(() => this.#beginReading(), () => this.#beginReading())
    return this.#nextReading
  }

  #beginReading (): Promise<void> {
    this.#nextReading = undefined
    this.#reading = this.#readLowest()
    return this.#reading
  }

  async #readLowest (): Promise<void> {
    // Cursors of other epochs wait for a turn of their own, lest one who forges low ones be served for ever.
    const [first] = this.#wanted as [Cursor]
    const since = this.#wanted.reduce((lowest, cursor) => cursor.epoch === first.epoch && cursor.offset < lowest.offset ? cursor : lowest)
    this.#wanted = []
    const { name, host } = this.#room
    const window = await host.inTime(host.broker.read(name, { since, limit: host.limits.page }))
    const [entry] = window.entries
    // Whoever stands there would be told of it again and again.
    if (entry?.type === 'gap' && sameCursor(entry.id, since)) throw new Error(`the broker answers a hole that leads nowhere, from ${formatCursor(since)}`)
    this.#keep(since, window)
    // Nothing follows, yet it is not in the tail: it is this room that is behind.
    if (window.entries.length === 0 && sameCursor(window.position, since)) await host.inTime(this.#room.repair())
  }

  /** Reads the oldest or the newest messages, once for all who ask the same at the same time. */
  async readFromEnd (request: Pick<ReadRequest, 'last' | 'limit'>): Promise<Window> {
    const { name, host } = this.#room
    const key = String(request.last)
    let window = this.#shared.get(key)
    if (window === undefined) {
      window = host.inTime(host.broker.read(name, request)).finally(() => this.#shared.delete(key))
      this.#shared.set(key, window)
    }
    const read = await window
    this.#keep(read.start, read)
    return read
  }

  #keep (base: Cursor, window: Window): void {
    this.#run = new Run(base, window.entries.map((stored) => toEntry(this.#room.name, stored)))
    this.#top = window.more ? undefined : window.position
  }

  /** Forgets it where nobody has used it for `linger` ms. */
  sweep (linger: number): void {
    if (this.#room.host.scheduler.now() - this.#used > linger) this.forget()
  }

  /** Forgets it: history was rewritten. */
  forget (): void {
    this.#run = undefined
  }
}

import type { Cursor } from '../../cursor.js'
import type { Hole, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { Stored } from './api.js'
import type { Judge, Start } from './judge.js'
import type { Keeper } from './keeper.js'
import type { Newest } from './newest.js'
import type { Placed } from './pack.js'
import type { Page, Reader } from './reader.js'
import { sameCursor } from '../../cursor.js'
import { firstOf } from './judge.js'
import { idAt, passing, topAt } from './lineage.js'

// A page of those that are read to find the newest.
const PAGE = 10_000

export interface WindowOptions {
  newest: Newest
  reader: Reader
  keeper: Keeper
  judge: Judge
  /** How long a message may be read, in ms. */
  maxAge: number
}

/** Reads the windows of rooms. */
export class Windows {
  readonly #options: WindowOptions

  constructor (options: WindowOptions) {
    this.#options = options
  }

  /** See `Broker.read`, of what is stored under a subject. */
  async read (subject: string, request: ReadRequest, deadline: number): Promise<Window> {
    for (;;) {
      const window = await this.#tryRead(subject, request, deadline)
      if (window !== undefined) return window
    }
  }

  /** Undefined where the stream is another by now, or all of it was removed meanwhile, so that it is to be done again. */
  async #tryRead (subject: string, { since, last, limit }: ReadRequest, deadline: number): Promise<Window | undefined> {
    const { keeper, judge, newest: rooms } = this.#options
    const newest = await rooms.whole(subject, deadline)
    const { epoch } = keeper
    const start = since === undefined ? await judge.oldest(subject, newest, deadline, { isNew: true }) : await judge.judge(subject, since, newest, deadline)
    if (start === undefined || epoch !== keeper.epoch) return undefined
    const window = last === undefined ? await this.#readOn(subject, start, newest, limit, since !== undefined, deadline) : await this.#readLast(subject, start, newest, last, deadline)
    return epoch === keeper.epoch ? window : undefined
  }

  async #readOn (subject: string, start: Start, newest: Stored | undefined, limit: number, told: boolean, deadline: number): Promise<Window | undefined> {
    const { reader, keeper: { lineage } } = this.#options
    let { from, position, hole } = start
    if (newest === undefined) return this.#window(position, hole, [])
    const { sequence: top } = newest
    while (from < top) {
      const page = await reader.read(subject, from, limit, newest, deadline)
      if (lacks(page, top)) return undefined
      // Of what has come since, nothing is known yet of what lies between.
      let messages = page.messages.filter(({ place }) => place <= top)
      const begins = Math.max(await this.#moved(subject, { ...start, from }, deadline), messages[this.#countOld(messages) - 1]?.place ?? 0)
      if (begins === Infinity) return undefined
      if (begins > from) {
        // It is the last that cannot be read, or not for sure, where the window begins.
        from = begins
        messages = messages.filter(({ place }) => place > begins)
        position = passing(lineage, idAt(lineage, from), messages[0]?.place)
        if (told) hole = { ...(hole ?? { type: 'gap', reason: 'expired' }), id: position }
      }
      if (messages.length > 0 || !page.more) return this.#window(position, hole, messages, page.more && messages.at(-1)?.place !== top ? top : undefined)
    }
    return this.#window(position, hole, [])
  }

  async #readLast (subject: string, start: Start, newest: Stored | undefined, last: number, deadline: number): Promise<Window | undefined> {
    const { reader, keeper: { lineage } } = this.#options
    let { from, position } = start
    if (newest === undefined) return this.#window(passing(lineage, position), undefined, [])
    let messages: Placed[] = []
    const { sequence: top } = newest
    const begin = (dropped: number): void => {
      if (dropped <= 0) return
      from = messages[dropped - 1]!.place
      position = idAt(lineage, from)
      messages = messages.slice(dropped)
    }
    for (let more = from < top; more;) {
      const page = await reader.read(subject, messages.at(-1)?.place ?? from, PAGE, newest, deadline)
      if (lacks(page, top)) return undefined
      messages.push(...page.messages.filter(({ place }) => place <= top))
      more = messages.at(-1)?.place !== top
      begin(Math.max(messages.length - last, this.#countOld(messages)))
    }
    if (messages.length > 0) {
      const moved = await this.#moved(subject, { ...start, from }, deadline)
      if (moved === Infinity) return undefined
      begin(messages.filter(({ place }) => place <= moved).length)
    }
    return this.#window(passing(lineage, position, messages[0]?.place), undefined, messages)
  }

  /** Where the window has moved on beyond `from` while what follows was read, so that some of that may be missing: the oldest message that is stored, `Infinity` where nothing is; else 0. */
  async #moved (subject: string, { from, oldest: before }: Start, deadline: number): Promise<number> {
    const { keeper, judge } = this.#options
    const oldest = await judge.first(subject, deadline)
    if (oldest === undefined) return Infinity
    if (oldest.sequence <= Math.ceil(from) || oldest.sequence === before) return 0
    // It may have gone with the history that it is of.
    await keeper.check(deadline)
    return firstOf(oldest)
  }

  #countOld (messages: readonly Placed[]): number {
    const oldest = Date.now() - this.#options.maxAge
    const young = messages.findIndex(({ time }) => time >= oldest)
    return young < 0 ? messages.length : young
  }

  /** `top`: of the room, where there is more before it. */
  #window (start: Cursor, hole: Hole | undefined, messages: readonly Placed[], top?: number): Window {
    const { lineage } = this.#options.keeper
    const entries: Array<StoredMessage | Hole> = hole === undefined ? [] : [hole]
    let position = start
    const pass = (to?: number): void => {
      const id = passing(lineage, position, to)
      if (sameCursor(id, position)) return
      entries.push({ type: 'gap', reason: 'forked', id, from: position })
      position = id
    }
    for (const { place, text } of messages) {
      pass(place)
      const id = idAt(lineage, place)
      entries.push({ type: 'message', id, previous: position, text })
      position = id
    }
    if (top === undefined) pass()
    const [first] = entries
    return {
      entries,
      start: first?.type === 'gap' ? first.id : start,
      position: top === undefined ? position : topAt(lineage, top),
      more: top !== undefined
    }
  }
}

/** Whether a page shows that what was the newest message is stored no more. */
function lacks ({ messages, more }: Page, top: number): boolean {
  return !messages.some(({ place }) => place === top) && (!more || (messages.at(-1)?.place ?? 0) > top)
}

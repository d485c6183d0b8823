import type { Cursor } from '../../cursor.js'
import type { Hole, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { Api, Stored } from './api.js'
import type { Keeper } from './keeper.js'
import type { Placed } from './pack.js'
import type { Reader } from './reader.js'
import { sameCursor } from '../../cursor.js'
import { endOf, has, idAt, isMark, isYoung, passing } from './lineage.js'
import { behind, endsHole, offsetOf, placeOf, unpack } from './pack.js'

// A page of those that are read to find the newest.
const PAGE = 10_000

export interface WindowOptions {
  api: Api
  reader: Reader
  keeper: Keeper
  /** How long a message may be read, in ms. */
  maxAge: number
}

/** Where reading goes on from: after this place, where the reader stands at that position, behind this hole. `oldest`: the sequence of what was the oldest that is stored. */
interface Start { from: number, position: Cursor, hole?: Hole, oldest?: number | undefined }

/**
 * Reads the windows of rooms. Sequences are the stream's, so that those of a room have holes which mean nothing. What it
 * does mean that a reader's position is there is judged by what is stored: where its own message still is, or one before
 * it, nothing after it is missing, since the oldest go first.
 */
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
    const newest = await this.newest(subject, deadline)
    const { keeper } = this.#options
    const { epoch } = keeper
    const start = since === undefined ? await this.#oldest(subject, newest, deadline, { isNew: true }) : await this.#judge(subject, since, newest, deadline)
    if (epoch !== keeper.epoch) return undefined
    if (last !== undefined) return await this.#readLast(subject, start, newest, last, deadline)
    return await this.#readOn(subject, start, newest, limit, since !== undefined, deadline)
  }

  /** The newest message, as the leader of the stream knows it. A record that came before it may be on its way still: so that is looked for. */
  async newest (subject: string, deadline: number): Promise<Stored | undefined> {
    const { api, keeper } = this.#options
    const newest = await api.last(subject, deadline)
    if (newest !== undefined && newest.sequence > keeper.high) await keeper.check(deadline)
    if (newest === undefined || !this.belongs(newest.sequence)) return undefined
    keeper.see(newest.sequence, newest.messageId)
    return newest
  }

  /** What was stored before the lineage began is of a history that was lost. */
  belongs (sequence: number): boolean {
    return sequence > this.#options.keeper.lineage.segments[0]!.start
  }

  /** Where a room stands in which nothing is stored, for who has not been there: at a position of which it will be known for long that nothing came before. */
  empty (): Cursor {
    const { lineage } = this.#options.keeper
    return passing(lineage, idAt(lineage, lineage.marks.at(-1)!.sequence))
  }

  /** Where a room stands whose newest message is stored at a sequence. */
  top (sequence: number): Cursor {
    const { lineage } = this.#options.keeper
    return passing(lineage, idAt(lineage, sequence))
  }

  /** Whether somebody who stands there has everything of a room in which nothing is stored. */
  holds (position: Cursor): boolean {
    const { lineage } = this.#options.keeper
    const place = placeOf(position)
    return has(lineage, position) && isMark(lineage, place) && this.#isYoung(place)
  }

  /** Before the oldest message that can be read, where that is known not to have lost one before it; and after a place that a reader has been at. */
  async #oldest (subject: string, newest: Stored | undefined, deadline: number, { after = 0, isNew = false } = {}): Promise<Start> {
    const { keeper: { lineage }, api } = this.#options
    if (newest === undefined) {
      const position = this.empty()
      const end = placeOf(position) > after ? undefined : (await api.info(deadline))?.state.last_seq
      return { from: Infinity, position: end === undefined ? position : passing(lineage, idAt(lineage, behind(Math.max(Math.floor(after), end)))) }
    }
    const oldest = await this.#first(subject, deadline) ?? newest
    if (await this.#isFull(subject, deadline)) {
      const from = firstOf(oldest)
      return { from, position: idAt(lineage, from), oldest: oldest.sequence }
    }
    // Of a mark nothing says that what came after it was not purged: it is for those who have missed nothing yet.
    const last = oldest.sequence - 1
    const from = (isNew ? lineage.marks.findLast(({ sequence }) => sequence <= last)?.sequence : undefined) ?? (last > after && isMark(lineage, last) ? last : behind(last))
    return { from, position: passing(lineage, idAt(lineage, from), oldest.sequence), oldest: oldest.sequence }
  }

  /** The oldest message that is stored of this history. */
  async #first (subject: string, deadline: number): Promise<Stored | undefined> {
    return await this.#options.api.next(subject, this.#options.keeper.lineage.segments[0]!.start + 1, deadline)
  }

  async #judge (subject: string, since: Cursor, newest: Stored | undefined, deadline: number): Promise<Start> {
    const { keeper } = this.#options
    const { lineage } = keeper
    const place = placeOf(since)
    const index = lineage.segments.findIndex(({ epoch }) => epoch === since.epoch)
    const hole = async (reason: Hole['reason'], from?: Cursor): Promise<Start> => {
      const oldest = await this.#oldest(subject, newest, deadline, reason === 'expired' ? { after: place } : {})
      // Whoever is known to have had more does not get it again.
      const start = from !== undefined && placeOf(from) > oldest.from ? { from: placeOf(from), position: from, oldest: oldest.oldest } : oldest
      const position = passing(lineage, start.position, newest === undefined || start.from >= newest.sequence ? undefined : Math.floor(start.from) + 1)
      return { ...start, position, hole: { type: 'gap', reason, id: position, ...(reason === 'forked' && from !== undefined && { from }) } }
    }
    if (index < 0 || place < lineage.segments[index]!.start) return await hole('epoch')
    const end = endOf(lineage, index)
    // Beyond the end of a history there is what was never, or is no more.
    if (end !== undefined && place > end) return await hole('forked', { epoch: since.epoch, offset: offsetOf(end) })
    const known = isMark(lineage, place)
    if (newest !== undefined && place > newest.sequence && !known) return await hole('forked', idAt(lineage, newest.sequence))
    if (newest === undefined && !known && !endsHole(place) && Math.ceil(place) > (await keeper.check(deadline)).state.last_seq) return await hole('forked', this.empty())
    const { whole, oldest } = await this.#isWhole(subject, place, known, newest, deadline)
    return whole ? { from: place, position: since, oldest } : await hole('expired')
  }

  /** Whether all that came after a place is still there. */
  async #isWhole (subject: string, place: number, known: boolean, newest: Stored | undefined, deadline: number): Promise<{ whole: boolean, oldest?: number | undefined }> {
    const { api, keeper } = this.#options
    if (newest?.sequence === place) return { whole: true }
    const from = Math.ceil(place)
    if (endsHole(place)) {
      const { state: { last_seq: end } } = await keeper.check(deadline)
      return { whole: end < from || (await api.next(subject, from, deadline))?.sequence === from }
    }
    if (!known) {
      const next = await api.next(subject, from, deadline)
      const whole = next !== undefined && unpack(next).some((message) => message.place === place)
      // What is gone may have gone with the history that it is of, and whoever reads be the first to see it.
      if (!whole) await keeper.check(deadline)
      return { whole }
    }
    // Nothing of the room speaks for it: the stream must be the one that the mark was made in.
    await keeper.check(deadline)
    if (newest === undefined) return { whole: this.#isYoung(place) }
    const oldest = (await this.#first(subject, deadline))?.sequence
    if (oldest !== undefined && oldest <= place) return { whole: true, oldest }
    return { whole: !await this.#isFull(subject, deadline) && this.#isYoung(place), oldest }
  }

  /** Whether as many packs of a room are stored as may be: the oldest have been dropped, or will be. */
  async #isFull (subject: string, deadline: number): Promise<boolean> {
    const { api, keeper: { bounds: { perRoom } } } = this.#options
    return perRoom !== Infinity && ((await api.info(deadline, subject))?.state.subjects?.[subject] ?? 0) >= perRoom
  }

  #isYoung (sequence: number): boolean {
    const { lineage, bounds: { maxAge } } = this.#options.keeper
    return isYoung(lineage, sequence, maxAge, Date.now())
  }

  async #readOn (subject: string, start: Start, newest: Stored | undefined, limit: number, told: boolean, deadline: number): Promise<Window | undefined> {
    const { reader, keeper: { lineage } } = this.#options
    let { from, position, hole } = start
    if (newest === undefined) return this.#window(position, hole, [])
    const { sequence: top } = newest
    while (from < top) {
      const page = await reader.read(subject, from, limit, newest, deadline)
      const reached = page.messages.some(({ place }) => place === top)
      if (!reached && (!page.more || (page.messages.at(-1)?.place ?? 0) > top)) return undefined
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

  async #readLast (subject: string, start: Start, newest: Stored | undefined, last: number, deadline: number): Promise<Window> {
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
      messages.push(...page.messages.filter(({ place }) => place <= top))
      more = page.more && messages.at(-1)?.place !== top
      begin(Math.max(messages.length - last, this.#countOld(messages)))
    }
    if (messages.length > 0) {
      const moved = await this.#moved(subject, { ...start, from }, deadline)
      begin(messages.filter(({ place }) => place <= moved).length)
    }
    return this.#window(passing(lineage, position, messages[0]?.place), undefined, messages)
  }

  /** Where the window has moved on beyond `from` while what follows was read, so that some of that may be missing: the oldest message that is stored, `Infinity` where nothing is; else 0. */
  async #moved (subject: string, { from, oldest: before }: Start, deadline: number): Promise<number> {
    const oldest = await this.#first(subject, deadline)
    if (oldest === undefined) return Infinity
    return oldest.sequence > Math.ceil(from) && oldest.sequence !== before ? firstOf(oldest) : 0
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
      position: top === undefined ? position : this.top(top),
      more: top !== undefined
    }
  }
}

/** The place of the first message of what was stored as one. Where it is the oldest of a window, it is kept for those who stand at it. */
function firstOf (stored: Stored): number {
  return unpack(stored)[0]!.place
}

import type { Cursor } from '../../cursor.js'
import type { Hole, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { Api, Stored } from './api.js'
import type { Keeper } from './keeper.js'
import type { Reader } from './reader.js'
import { sameCursor } from '../../cursor.js'
import { endOf, idAt, isMark, isYoung, passing } from './lineage.js'

// A page of those that are read to find the newest.
const PAGE = 1_000

export interface WindowOptions {
  api: Api
  reader: Reader
  keeper: Keeper
  /** How long a message may be read, in ms. */
  maxAge: number
}

/** Where reading goes on from: after this sequence, where the reader stands at that position, behind this hole. `oldest`: of what was stored then. */
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
    return lineage.segments.some(({ epoch }) => epoch === position.epoch) && isMark(lineage, position.offset) && this.#isYoung(position.offset)
  }

  /** Before the oldest message that can be read, where that is known not to have lost one before it; and after a sequence that a reader has been at. */
  async #oldest (subject: string, newest: Stored | undefined, deadline: number, { after = 0, isNew = false } = {}): Promise<Start> {
    const { keeper: { lineage }, api } = this.#options
    if (newest === undefined) {
      const position = this.empty()
      const end = position.offset > after ? undefined : (await api.info(deadline))?.state.last_seq
      return { from: Infinity, position: end === undefined ? position : passing(lineage, idAt(lineage, Math.max(after, end))) }
    }
    const oldest = await this.#first(subject, deadline) ?? newest
    // It is kept for those who stand at it.
    if (await this.#isFull(subject, deadline)) return { from: oldest.sequence, position: idAt(lineage, oldest.sequence), oldest: oldest.sequence }
    // Of a mark nothing says that what came after it was not purged: it is for those who have missed nothing yet.
    const from = (isNew ? lineage.marks.findLast(({ sequence }) => sequence < oldest.sequence)?.sequence : undefined) ?? oldest.sequence - 1
    return { from, position: passing(lineage, idAt(lineage, from), oldest.sequence), oldest: oldest.sequence }
  }

  /** The oldest message that is stored of this history. */
  async #first (subject: string, deadline: number): Promise<Stored | undefined> {
    return await this.#options.api.next(subject, this.#options.keeper.lineage.segments[0]!.start + 1, deadline)
  }

  async #judge (subject: string, since: Cursor, newest: Stored | undefined, deadline: number): Promise<Start> {
    const { lineage } = this.#options.keeper
    const index = lineage.segments.findIndex(({ epoch }) => epoch === since.epoch)
    const hole = async (reason: Hole['reason'], from?: Cursor): Promise<Start> => {
      const oldest = await this.#oldest(subject, newest, deadline, reason === 'expired' ? { after: since.offset } : {})
      // Whoever is known to have had more does not get it again.
      const start = from !== undefined && from.offset > oldest.from ? { from: from.offset, position: from, oldest: oldest.oldest } : oldest
      const position = passing(lineage, start.position, newest === undefined || start.from >= newest.sequence ? undefined : start.from + 1)
      return { ...start, position, hole: { type: 'gap', reason, id: position, ...(reason === 'forked' && from !== undefined && { from }) } }
    }
    if (index < 0 || since.offset < lineage.segments[index]!.start) return await hole('epoch')
    const end = endOf(lineage, index)
    // Beyond the end of a history there is what was never, or is no more.
    if (end !== undefined && since.offset > end) return await hole('forked', { epoch: since.epoch, offset: end })
    const known = isMark(lineage, since.offset)
    if (newest !== undefined && since.offset > newest.sequence && !known) return await hole('forked', idAt(lineage, newest.sequence))
    const { whole, oldest } = await this.#isWhole(subject, since.offset, known, newest, deadline)
    return whole ? { from: since.offset, position: since, oldest } : await hole('expired')
  }

  /** Whether all that came after a sequence is still there. */
  async #isWhole (subject: string, sequence: number, known: boolean, newest: Stored | undefined, deadline: number): Promise<{ whole: boolean, oldest?: number | undefined }> {
    const { api, keeper } = this.#options
    if (newest?.sequence === sequence) return { whole: true }
    if (!known) return { whole: (await api.next(subject, sequence, deadline))?.sequence === sequence }
    // Nothing of the room speaks for it: the stream must be the one that the mark was made in.
    await keeper.check(deadline)
    if (newest === undefined) return { whole: this.#isYoung(sequence) }
    const oldest = (await this.#first(subject, deadline))?.sequence
    if (oldest !== undefined && oldest <= sequence) return { whole: true, oldest }
    return { whole: !await this.#isFull(subject, deadline) && this.#isYoung(sequence), oldest }
  }

  /** Whether as many messages of a room are stored as may be: the oldest have been dropped, or will be. */
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
    const top = newest?.sequence ?? 0
    while (from < top) {
      const page = await reader.read(subject, from + 1, limit, top, deadline)
      const reached = page.messages.some(({ sequence }) => sequence === top)
      if (!reached && (!page.more || (page.messages.at(-1)?.sequence ?? 0) > top)) return undefined
      // Of what has come since, nothing is known yet of what lies between.
      let messages = page.messages.filter(({ sequence }) => sequence <= top)
      const begins = Math.max(await this.#moved(subject, { ...start, from }, deadline), messages[this.#countOld(messages) - 1]?.sequence ?? 0)
      if (begins === Infinity) return undefined
      if (begins > from) {
        // It is the last that cannot be read, or not for sure, where the window begins.
        from = begins
        messages = messages.filter(({ sequence }) => sequence > begins)
        position = passing(lineage, idAt(lineage, from), messages[0]?.sequence)
        if (told) hole = { ...(hole ?? { type: 'gap', reason: 'expired' }), id: position }
      }
      if (messages.length > 0 || !page.more) return this.#window(position, hole, messages, page.more && messages.at(-1)?.sequence !== top ? top : undefined)
    }
    return this.#window(position, hole, [])
  }

  async #readLast (subject: string, start: Start, newest: Stored | undefined, last: number, deadline: number): Promise<Window> {
    const { reader, keeper: { lineage } } = this.#options
    let { from, position } = start
    let messages: Stored[] = []
    const top = newest?.sequence ?? 0
    const begin = (dropped: number): void => {
      if (dropped <= 0) return
      from = messages[dropped - 1]!.sequence
      position = idAt(lineage, from)
      messages = messages.slice(dropped)
    }
    for (let more = from < top; more;) {
      const page = await reader.read(subject, (messages.at(-1)?.sequence ?? from) + 1, PAGE, top, deadline)
      messages.push(...page.messages.filter(({ sequence }) => sequence <= top))
      more = page.more && messages.at(-1)?.sequence !== top
      begin(Math.max(messages.length - last, this.#countOld(messages)))
    }
    if (messages.length > 0) {
      const moved = await this.#moved(subject, { ...start, from }, deadline)
      begin(messages.filter(({ sequence }) => sequence <= moved).length)
    }
    return this.#window(passing(lineage, position, messages[0]?.sequence), undefined, messages)
  }

  /** Where the window has moved on beyond `from` while what follows was read, so that some of that may be missing: the oldest that is stored, `Infinity` where nothing is; else 0. */
  async #moved (subject: string, { from, oldest: before }: Start, deadline: number): Promise<number> {
    const oldest = (await this.#first(subject, deadline))?.sequence ?? Infinity
    return oldest > from && oldest !== before ? oldest : 0
  }

  #countOld (messages: readonly Stored[]): number {
    const oldest = Date.now() - this.#options.maxAge
    const young = messages.findIndex(({ time }) => time >= oldest)
    return young < 0 ? messages.length : young
  }

  /** `top`: of the room, where there is more before it. */
  #window (start: Cursor, hole: Hole | undefined, messages: readonly Stored[], top?: number): Window {
    const { lineage } = this.#options.keeper
    const entries: Array<StoredMessage | Hole> = hole === undefined ? [] : [hole]
    let position = start
    const pass = (to?: number): void => {
      const id = passing(lineage, position, to)
      if (sameCursor(id, position)) return
      entries.push({ type: 'gap', reason: 'forked', id, from: position })
      position = id
    }
    for (const { sequence, text } of messages) {
      pass(sequence)
      const id = idAt(lineage, sequence)
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

import type { Cursor } from '../../cursor.js'
import type { Hole } from '../broker.js'
import type { Api, Stored } from './api.js'
import type { Keeper } from './keeper.js'
import { belongs, emptyTop, endOf, has, idAt, isMark, isYoung, passing } from './lineage.js'
import { behind, endsHole, offsetOf, placeOf, unpack } from './pack.js'

export interface JudgeOptions { api: Api, keeper: Keeper }

/** Where reading goes on from: after this place, where the reader stands at that position, behind this hole. `oldest`: the sequence of what was the oldest that is stored. */
export interface Start { from: number, position: Cursor, hole?: Hole, oldest?: number | undefined }

/**
 * What it means that a reader stands where it does. Sequences are the stream's, so that those of a room have holes which mean
 * nothing; it is judged by what is stored: where the reader's own message still is, or one before it, nothing after it is missing, since the oldest go first.
 */
export class Judge {
  readonly #options: JudgeOptions

  constructor (options: JudgeOptions) {
    this.#options = options
  }

  /** Where reading goes on from for who stands at `since`, and what hole is before it. `newest`: of the room. Undefined where that is another by now. */
  async judge (subject: string, since: Cursor, newest: Stored | undefined, deadline: number): Promise<Start | undefined> {
    const { keeper } = this.#options
    const { lineage } = keeper
    const place = placeOf(since)
    const index = lineage.segments.findIndex(({ epoch }) => epoch === since.epoch)
    const hole = async (reason: Hole['reason'], from?: Cursor): Promise<Start | undefined> => {
      const oldest = await this.oldest(subject, newest, deadline, reason === 'expired' ? { after: place } : {})
      if (oldest === undefined) return undefined
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
    if (newest === undefined && !known && !endsHole(place) && Math.ceil(place) > (await keeper.check(deadline)).state.last_seq) return await hole('forked', emptyTop(lineage))
    const { whole, oldest } = await this.#isWhole(subject, place, known, newest, deadline)
    if (whole) return { from: place, position: since, oldest }
    // What is gone may have gone with the history that it is of, and whoever reads be the first to see it.
    await keeper.check(deadline)
    return await hole('expired')
  }

  /** Before the oldest message that can be read, where that is known not to have lost one before it; and after a place that a reader has been at. Undefined where `newest` is another by now. */
  async oldest (subject: string, newest: Stored | undefined, deadline: number, { after = 0, isNew = false } = {}): Promise<Start | undefined> {
    const { keeper: { lineage }, api } = this.#options
    if (newest === undefined) {
      const position = emptyTop(lineage)
      if (placeOf(position) > after) return { from: Infinity, position }
      const end = (await api.info(deadline))?.state.last_seq ?? 0
      // What has come since may lie before that end.
      const last = await api.last(subject, deadline)
      if (last !== undefined && belongs(lineage, last.sequence)) return undefined
      return { from: Infinity, position: passing(lineage, idAt(lineage, behind(Math.max(Math.floor(after), end)))) }
    }
    const oldest = await this.first(subject, deadline) ?? newest
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
  async first (subject: string, deadline: number): Promise<Stored | undefined> {
    return await this.#options.api.next(subject, this.#options.keeper.lineage.segments[0]!.start + 1, deadline)
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
      return { whole: next !== undefined && unpack(next).some((message) => message.place === place) }
    }
    // Nothing of the room speaks for it: the stream must be the one that the mark was made in.
    await keeper.check(deadline)
    if (newest === undefined) return { whole: isYoungIn(keeper, place) }
    const oldest = (await this.first(subject, deadline))?.sequence
    if (oldest !== undefined && oldest <= place) return { whole: true, oldest }
    return { whole: !await this.#isFull(subject, deadline) && isYoungIn(keeper, place), oldest }
  }

  /** Whether as many packs of a room are stored as may be: the oldest have been dropped, or will be. */
  async #isFull (subject: string, deadline: number): Promise<boolean> {
    const { api, keeper: { bounds: { perRoom } } } = this.#options
    return perRoom !== Infinity && ((await api.info(deadline, subject))?.state.subjects?.[subject] ?? 0) >= perRoom
  }
}

/** Whether somebody who stands there has everything of a room in which nothing is stored. */
export function holds (keeper: Keeper, position: Cursor): boolean {
  const { lineage } = keeper
  const place = placeOf(position)
  return has(lineage, position) && isMark(lineage, place) && isYoungIn(keeper, place)
}

function isYoungIn ({ lineage, bounds: { maxAge } }: Keeper, place: number): boolean {
  return isYoung(lineage, place, maxAge, Date.now())
}

/** The place of the first message of what was stored as one. Where it is the oldest of a window, it is kept for those who stand at it. */
export function firstOf (stored: Stored): number {
  return unpack(stored)[0]!.place
}

import type { Cursor } from '../../cursor.js'
import type { Hole, StoredMessage, Window } from '../broker.js'

/**
 * A stretch of a room's history under one epoch: the offsets above `start`, up to where the next one begins (the last
 * one reaches to the top). Offsets run on from one to the next. `flagged`: messages were lost before it began, and
 * whoever passes into it is told. Segments are only ever added, so that what a server has read of a lineage stays true.
 */
export interface Segment {
  epoch: number
  start: number
  flagged: boolean
}

/** What the scripts keep of a room. There is always a first segment; it begins at 0 unless older ones were forgotten. */
export interface Lineage {
  segments: Segment[]
  /** The offset of the newest message, 0 where there was none. */
  top: number
}

/** An entry of the stream, as it is stored. */
export interface Kept { offset: number, text: string }

/** As the scripts write it: `epoch:start:flagged[:time]`, a space between segments. */
export function parseSegments (text: string): Segment[] {
  return text.split(' ').map((segment) => {
    const [epoch, start, flagged] = segment.split(':')
    return { epoch: Number(epoch), start: Number(start), flagged: flagged === '1' }
  })
}

/**
 * The one spelling of the position at `offset`. Where a segment begins without a loss, that is the end of the one
 * before: so a boundary that lost nothing is no position of its own, and no reader can tell that it is there.
 */
export function positionAt ({ segments }: Lineage, offset: number): Cursor {
  let index = segments.length - 1
  while (index > 0 && (segments[index]!.start > offset || (segments[index]!.start === offset && !segments[index]!.flagged))) index--
  return { epoch: segments[index]!.epoch, offset }
}

function endOf ({ segments, top }: Lineage, index: number): number {
  return segments[index + 1]?.start ?? top
}

/** The epoch of the message at `offset`. */
function epochOf ({ segments }: Lineage, offset: number): number {
  let index = segments.length - 1
  while (index > 0 && segments[index]!.start >= offset) index--
  return segments[index]!.epoch
}

/** Where a reader goes on from: the offset, and the hole that it falls into first, if any. */
export interface Judgement { from: number, hole?: Hole }

/**
 * Judges the cursor of a reader. `before` is the offset before the oldest message retained.
 *
 * `forebears` are the positions that the reader's epoch, and those before it, began at, newest first, as far as they
 * are known: where a failover left no trace of its epoch, the last of them that is in this lineage is the last common
 * position. Where none is known the reader begins again, at the oldest message retained.
 */
export function judge (lineage: Lineage, since: Cursor, before: number, forebears: readonly Cursor[] = []): Judgement {
  for (const cursor of [since, ...forebears]) {
    const index = lineage.segments.findIndex(({ epoch }) => epoch === cursor.epoch)
    if (index < 0 || cursor.offset < lineage.segments[index]!.start) continue
    const end = endOf(lineage, index)
    if (cursor === since && cursor.offset <= end) {
      if (cursor.offset >= before) return { from: cursor.offset }
      return { from: before, hole: { type: 'gap', reason: 'expired', id: positionAt(lineage, before) } }
    }
    // The reader has come by what was never, or is no more. One hole, where the next segment is flagged as well.
    const common = Math.min(cursor.offset, end)
    const from = Math.max(common, before)
    return { from, hole: { type: 'gap', reason: 'forked', id: positionAt(lineage, from), from: positionBefore(lineage, common, index) } }
  }
  return { from: before, hole: { type: 'gap', reason: 'epoch', id: positionAt(lineage, before) } }
}

/** The position at `offset` without any flagged boundary that begins there, as known to a reader in segment `index` or before. */
function positionBefore ({ segments }: Lineage, offset: number, index: number): Cursor {
  while (index > 0 && segments[index]!.start === offset && !segments[index]!.flagged) index--
  return { epoch: segments[index]!.epoch, offset }
}

/** Whether a reader who stands at `cursor` has passed the last boundary that begins at its offset. */
function passed (lineage: Lineage, { epoch, offset }: Cursor): boolean {
  const last = lineage.segments.findLastIndex(({ start, flagged }) => start === offset && flagged)
  return last < 0 || lineage.segments.findIndex((segment) => segment.epoch === epoch) >= last
}

/**
 * The window that a reader at `from` reads: `kept` are the entries after it, oldest first. `standing` is how the reader
 * spells its position, and `hole` what it has fallen into before.
 */
export function windowOf (lineage: Lineage, kept: readonly Kept[], more: boolean, from: number, standing?: Cursor, hole?: Hole): Window {
  const entries: Array<StoredMessage | Hole> = []
  if (hole !== undefined) entries.push(hole)
  let at = from
  let position = hole?.id ?? standing ?? positionAt(lineage, from)
  const start = position
  const pass = (): void => {
    if (passed(lineage, position)) return
    const id = positionAt(lineage, at)
    entries.push({ type: 'gap', reason: 'forked', id, from: position })
    position = id
  }
  pass()
  for (const { offset, text } of kept) {
    // Entries that somebody took out of the middle of the stream.
    if (offset !== at + 1) {
      at = offset - 1
      position = positionAt(lineage, at)
      entries.push({ type: 'gap', reason: 'expired', id: position })
    }
    const id = { epoch: epochOf(lineage, offset), offset }
    entries.push({ type: 'message', id, previous: positionAt(lineage, at), text })
    position = id
    at = offset
    if (!(more && offset === kept.at(-1)!.offset)) pass()
  }
  const [first] = entries
  return { entries, start: first?.type === 'gap' ? first.id : start, position: positionAt(lineage, lineage.top), more }
}

import type { Cursor } from '../../cursor.js'
import { offsetOf, placeOf } from './pack.js'

/**
 * A stretch of the stream's history under one epoch: the sequences above `start`, up to where the next one begins (the
 * last one reaches to the end). `flagged`: messages were lost before it began, and whoever passes into it is told.
 */
export interface Segment {
  readonly epoch: number
  readonly start: number
  readonly flagged: boolean
}

/** A sequence, and when it was stored, in ms since 1970: what comes after it is no older. */
export interface Mark {
  readonly sequence: number
  readonly time: number
}

/**
 * What the servers write down of the stream's history, in the stream itself: so it is lost, or restored, together with
 * what it speaks of. It is a message like others, under a name that no room has, and the last one counts. Segments and
 * marks begin where a record stands in the stream: all who read along learn of them in the order of the messages.
 */
export interface Lineage {
  /** Oldest first. Whatever is stored before the first belongs to a history that was lost. */
  readonly segments: readonly Segment[]
  /** Oldest first. The last one is the record itself. */
  readonly marks: readonly Mark[]
  /** The processes of NATS (`server_id`) on which segments were begun last, newest first: as long as one of them runs, what it held then was not taken back. */
  readonly processes: readonly string[]
}

/** As it is stored. What begins with the record has no sequence yet. */
interface Stored {
  segments: Array<[epoch: number, start: number, flagged: 0 | 1]>
  marks: Array<[sequence: number, time: number]>
  processes: string[]
  opens?: [epoch: number, flagged: 0 | 1, start?: number]
}

/** A segment that is to begin, on a process of NATS, where its record stands, or further back, where it is known that from there on all is other than it was. */
export type Opening = Omit<Segment, 'start'> & { readonly start?: number, readonly process: string }

// As many are remembered; a cursor of an older one is told by a gap.
const SEGMENTS = 200
const MARKS = 200
const PROCESSES = 10

/** The lineage that a record holds, or undefined where it is none. */
export function parseRecord (text: string, sequence: number, time: number): Lineage | undefined {
  try {
    const { segments, marks, processes, opens } = JSON.parse(text) as Stored
    const all = segments.map(([epoch, start, flagged]) => ({ epoch, start, flagged: flagged === 1 }))
    // Unless it is told otherwise, all that was stored before the record is before the segment.
    if (opens !== undefined) all.push({ epoch: opens[0], start: opens[2] ?? sequence - 1, flagged: opens[1] === 1 })
    const lineage = { segments: all, marks: [...marks.map(([sequence, time]) => ({ sequence, time })), { sequence, time }], processes }
    return all.length > 0 && isWhole(lineage) ? lineage : undefined
  } catch {
    return undefined
  }
}

function isWhole ({ segments, marks, processes }: Lineage): boolean {
  return Array.isArray(processes) && [...segments.flatMap(({ epoch, start }) => [epoch, start]), ...marks.flatMap(({ sequence, time }) => [sequence, time])].every(Number.isSafeInteger)
}

/**
 * The text of the next record, which opens a segment where `opens` says so. What is older than `maxAge` is forgotten:
 * nobody can tell any more what followed it.
 */
export function nextRecord (lineage: Lineage | undefined, opens: Opening | undefined, oldest: number): string {
  const known = lineage?.marks ?? []
  const marks = known.filter(({ time }, i) => time >= oldest || i === known.length - 1).slice(-MARKS)
  const from = marks[0]?.sequence ?? 0
  const segments = (lineage?.segments ?? []).filter((_, i, all) => all[i + 1] === undefined || all[i + 1]!.start > from).slice(-SEGMENTS)
  const stored: Stored = {
    segments: segments.map(({ epoch, start, flagged }) => [epoch, start, flagged ? 1 : 0]),
    marks: marks.map(({ sequence, time }) => [sequence, time]),
    processes: [...new Set([...opens === undefined ? [] : [opens.process], ...lineage?.processes ?? []])].slice(0, PROCESSES)
  }
  if (opens !== undefined) stored.opens = opens.start === undefined ? [opens.epoch, opens.flagged ? 1 : 0] : [opens.epoch, opens.flagged ? 1 : 0, opens.start]
  return JSON.stringify(stored)
}

export function openSegment ({ segments }: Lineage): Segment {
  return segments.at(-1) as Segment
}

export function lastMark ({ marks }: Lineage): Mark {
  return marks.at(-1) as Mark
}

/** The position of the message at a place. */
export function idAt ({ segments }: Lineage, place: number): Cursor {
  let index = segments.length - 1
  while (index > 0 && segments[index]!.start >= place) index--
  return { epoch: segments[index]!.epoch, offset: offsetOf(place) }
}

/** The last segment that was known before and still is, and those that follow it by now. Without a `common` one it is another history. */
export function compareLineages (before: Lineage, { segments }: Lineage): { common: Segment | undefined, news: readonly Segment[] } {
  const common = segments.findLast(({ epoch }) => before.segments.some((segment) => segment.epoch === epoch))
  return { common, news: common === undefined ? segments : segments.slice(segments.indexOf(common) + 1) }
}

/** Whether everybody is told of a loss by segments that are new. */
export function isTold (news: readonly Segment[]): boolean {
  return news.some(({ flagged }) => flagged)
}

/** Whether a position is of this history: of a segment, and not beyond what that came to. */
export function has (lineage: Lineage, position: Cursor): boolean {
  const index = lineage.segments.findIndex(({ epoch }) => epoch === position.epoch)
  const place = placeOf(position)
  return index >= 0 && place >= lineage.segments[index]!.start && place <= (endOf(lineage, index) ?? Infinity)
}

/** Where a segment ends: where the next begins. */
export function endOf ({ segments }: Lineage, index: number): number | undefined {
  return segments[index + 1]?.start
}

/** The flagged segment, the last one where there are several, that a reader passes into on the way from one place to a message at another (to the end, where none is given). */
function flaggedBetween ({ segments }: Lineage, from: number, to = Infinity): Segment | undefined {
  return segments.findLast(({ start, flagged }, i) => flagged && i > 0 && start >= from && start < to)
}

/** Where a reader at `position` stands once it has passed the last flagged boundary before a message at a place (before the end, where none is given). */
export function passing (lineage: Lineage, position: Cursor, to?: number): Cursor {
  const passed = flaggedBetween(lineage, placeOf(position), to)
  if (passed === undefined || passed.epoch === position.epoch) return position
  return { epoch: passed.epoch, offset: offsetOf(passed.start) }
}

/** What was stored before the lineage began is of a history that was lost. */
export function belongs ({ segments }: Lineage, sequence: number): boolean {
  return sequence > segments[0]!.start
}

/** Where a room stands whose newest message is stored at a sequence. */
export function topAt (lineage: Lineage, sequence: number): Cursor {
  return passing(lineage, idAt(lineage, sequence))
}

/** Where a room stands in which nothing is stored, for who has not been there: at a position of which it will be known for long that nothing came before. */
export function emptyTop (lineage: Lineage): Cursor {
  return topAt(lineage, lastMark(lineage).sequence)
}

/** Whether nothing that was stored after a sequence can have grown older than `maxAge` ms. */
export function isYoung ({ marks }: Lineage, sequence: number, maxAge: number, now: number): boolean {
  if (maxAge === Infinity) return true
  const mark = marks.findLast((mark) => mark.sequence <= sequence + 1)
  // Clocks differ, and the server is not always in time.
  return mark !== undefined && now - mark.time < 0.9 * maxAge
}

export function isMark ({ marks, segments }: Lineage, place: number): boolean {
  return marks.some(({ sequence }) => sequence === place) || segments.some(({ start }) => start === place)
}

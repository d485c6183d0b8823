/**
 * A position in a room's history, `<epoch>-<offset>` on the wire. Within one history offsets grow in the order of
 * publishing, over epochs too; a new epoch marks a break in it. Both are integers from 0 to 2^53−1.
 */
export interface Cursor {
  readonly epoch: number
  readonly offset: number
}

const PATTERN = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})$/

/** The cursor that `text` stands for, or undefined where it is none: one spelling a cursor, so that equal texts are equal positions. */
export function parseCursor (text: unknown): Cursor | undefined {
  if (typeof text !== 'string') return undefined
  const match = PATTERN.exec(text)
  if (match === null) return undefined
  const epoch = Number(match[1])
  const offset = Number(match[2])
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(offset) ? { epoch, offset } : undefined
}

export function formatCursor (cursor: Cursor): string {
  return `${cursor.epoch}-${cursor.offset}`
}

export function sameCursor (a: Cursor, b: Cursor): boolean {
  return a.offset === b.offset && a.epoch === b.epoch
}

/** Whether `a` is known, by itself, to be at or before `b`: only positions of one epoch can be compared without asking the broker. */
export function notAfter (a: Cursor, b: Cursor): boolean {
  return a.epoch === b.epoch && a.offset <= b.offset
}

import type { Cursor } from '../../lib/cursor.js'
import { formatCursor, parseCursor } from '../../lib/cursor.js'

/** What a subscriber was sent, in the order of coming. `at`: when, in ms; `server`: where. */
export type Entry =
  | { type: 'subscribed', id: string, recovered?: boolean | undefined, server?: string, at: number }
  | { type: 'message', id: string, text: string, at: number }
  | { type: 'gap', id: string, reason: string, from?: string | undefined, at: number }

/** What one subscriber of a room was sent, over all its resumes. */
export interface Transcript { name: string, room: string, entries: Entry[] }

/** What became of a publish. Refused is what is sure not to have been published; unknown, where nobody can say. */
export interface Outcome {
  room: string
  /** Used once. */
  text: string
  result: 'pending' | 'acknowledged' | 'refused' | 'unknown'
  id?: string
  error?: string
  at: number
  took: number
}

/** What the broker retains of a room when all is over, oldest first. It holds all that was not lost, save where it is cut at its beginning. */
export type Retained = Array<{ id: string, text: string }>

/** What is wrong, in words, by kind. */
export interface Verdict { duplicates: string[], disorder: string[], losses: string[], gaps: number }

export type Judge = (transcripts: readonly Transcript[], outcomes: readonly Outcome[], retained?: Retained) => Verdict

export interface Publishes {
  byText: Map<string, Outcome>
  acknowledged: Outcome[]
  /** The offsets that somebody was sent or acknowledged, and their texts, by epoch. */
  known: Map<number, Map<number, string>>
}

/** Holds what subscribers of one room were sent against what was published to it. Without `retained`, what only the end can show is left out. */
export function judge (transcripts: readonly Transcript[], outcomes: readonly Outcome[], retained?: Retained): Verdict {
  const verdict: Verdict = { duplicates: [], disorder: [], losses: [], gaps: 0 }
  const publishes = gather(transcripts, outcomes, verdict)
  for (const { text } of twice(retained ?? [])) verdict.duplicates.push(`${text} is retained twice`)
  for (const transcript of transcripts) new Reading(transcript, publishes, verdict).end(retained)
  return verdict
}

/** What was published, and under which ids, whoever says so. */
export function gather (transcripts: readonly Transcript[], outcomes: readonly Outcome[], verdict: Verdict): Publishes {
  const publishes: Publishes = {
    byText: new Map(outcomes.map((outcome) => [outcome.text, outcome])),
    acknowledged: outcomes.filter(({ result }) => result === 'acknowledged'),
    known: new Map()
  }
  for (const { id, text } of publishes.acknowledged) note(publishes, cursor(id as string), text, 'acknowledged', verdict)
  for (const { name, entries } of transcripts) {
    for (const entry of entries) if (entry.type === 'message') note(publishes, cursor(entry.id), entry.text, name, verdict)
  }
  return publishes
}

/** An id stands for one message, whoever is asked; and what was refused, or never published, is nowhere. */
function note ({ byText, known }: Publishes, { epoch, offset }: Cursor, text: string, where: string, verdict: Verdict): void {
  let texts = known.get(epoch)
  if (texts === undefined) known.set(epoch, texts = new Map())
  const other = texts.get(offset)
  if (other !== undefined && other !== text) verdict.disorder.push(`${where}: ${epoch}-${offset} is ${text}, and elsewhere ${other}`)
  texts.set(offset, text)
  const outcome = byText.get(text)
  if (outcome === undefined) verdict.disorder.push(`${where}: ${text} was never published`)
  else if (outcome.result === 'refused') verdict.disorder.push(`${where}: ${text} was refused`)
}

/**
 * One transcript, read from its beginning. What was received counts until a fork disowns it, or another epoch begins;
 * offsets are accounted for up to where the subscriber began, and where a gap stands for them. Since what counts has
 * growing offsets, and an id stands for one message, no two subscribers can have two messages in opposite orders.
 */
class Reading {
  readonly #name: string
  readonly #entries: readonly Entry[]
  readonly #publishes: Publishes
  readonly #verdict: Verdict
  /** Texts that count, and their offsets. */
  #valid = new Map<string, number>()
  readonly #received = new Set<string>()
  /** Stretches of offsets that are accounted for without a message: above `after`, up to `to`. */
  #told: Array<{ after: number, to: number }> = []
  #standing: Cursor | undefined
  #owesGap = false

  constructor ({ name, entries }: Transcript, publishes: Publishes, verdict: Verdict) {
    this.#name = name
    this.#entries = entries
    this.#publishes = publishes
    this.#verdict = verdict
    for (const entry of entries) this.#read(entry)
  }

  #read (entry: Entry): void {
    const id = cursor(entry.id)
    if (entry.type === 'subscribed') return this.#subscribed(id, entry.recovered)
    if (this.#standing === undefined) return this.#wrong('disorder', `${entry.id} before subscribed`)
    if (entry.type === 'message') this.#message(id, entry.text, this.#standing)
    else this.#gap(id, entry.reason, entry.from === undefined ? undefined : cursor(entry.from), this.#standing)
    this.#standing = id
  }

  #subscribed (id: Cursor, recovered: boolean | undefined): void {
    if (this.#standing === undefined) {
      this.#standing = id
      this.#told = [{ after: -1, to: id.offset }]
      return
    }
    this.#owesGap = recovered !== true
    if (recovered === true && formatCursor(id) !== formatCursor(this.#standing)) this.#wrong('losses', `resumed at ${formatCursor(id)}, not at ${formatCursor(this.#standing)}`)
  }

  #message (id: Cursor, text: string, standing: Cursor): void {
    this.#received.add(text)
    if (this.#valid.has(text)) this.#wrong('duplicates', `${text} came as ${formatCursor(id)}, and was there`)
    if (id.offset <= standing.offset) this.#wrong('disorder', `${formatCursor(id)} came at ${formatCursor(standing)}`)
    const before = this.#publishes.known.get(id.epoch)
    for (let offset = standing.offset + 1; offset < id.offset; offset++) {
      const missing = before?.get(offset)
      if (missing !== undefined) this.#wrong('losses', `${missing} (${id.epoch}-${offset}) is missing between ${formatCursor(standing)} and ${formatCursor(id)}`)
    }
    this.#valid.set(text, id.offset)
  }

  #gap (id: Cursor, reason: string, from: Cursor | undefined, standing: Cursor): void {
    this.#verdict.gaps++
    this.#owesGap = false
    let after = -1
    if (reason === 'epoch') this.#valid.clear()
    else if (reason === 'forked') {
      if (from === undefined) return this.#wrong('disorder', `forked at ${formatCursor(standing)}, without from`)
      after = from.offset
      for (const [text, offset] of this.#valid) if (offset > after) this.#valid.delete(text)
    } else after = standing.offset
    if (reason !== 'epoch' && id.offset < after) this.#wrong('disorder', `${reason} from ${after} back to ${formatCursor(id)}`)
    // What came before the gap and was not disowned is still accounted for.
    this.#told = this.#told.map((stretch) => ({ after: stretch.after, to: Math.min(stretch.to, after) })).filter(({ after, to }) => after < to)
    this.#told.push({ after, to: id.offset })
  }

  end (retained?: Retained): void {
    if (this.#owesGap) this.#wrong('losses', 'it was not recovered, and no gap came')
    const survivors = new Set(retained?.map(({ text }) => text))
    for (const outcome of this.#publishes.acknowledged) {
      if (!survivors.has(outcome.text) && this.#owes(outcome) && !this.#received.has(outcome.text) && !this.#isTold(outcome)) {
        this.#wrong('losses', `${outcome.text} (${outcome.id}) was acknowledged, is missing, and no gap tells it`)
      }
    }
    if (retained === undefined) return
    for (const { id, text } of retained) {
      const { offset } = cursor(id)
      if (!this.#valid.has(text) && !this.#told.some(({ after, to }) => after < offset && offset <= to)) this.#wrong('losses', `${text} (${id}) is retained, is missing, and no gap stands in its place`)
    }
    const oldest = retained[0] === undefined ? Infinity : cursor(retained[0].id).offset
    for (const [text, offset] of this.#valid) {
      if (offset >= oldest && !survivors.has(text)) this.#wrong('losses', `${text} (${offset}) is no more, and was not disowned`)
    }
  }

  /** Whether it was published when the subscriber was there. */
  #owes ({ id, at }: Outcome): boolean {
    const [first] = this.#entries
    if (first === undefined) return false
    const [published, start] = [cursor(id as string), cursor(first.id)]
    return published.epoch === start.epoch ? published.offset > start.offset : at > first.at
  }

  /**
   * Whether a gap stands for what is no more in the room. It may be a late one, where only another server had the
   * message; what can be told in its place is found by the offsets that are skipped. One that leads into another epoch
   * stands for all that the one before had left, also where it says `expired`: the window has moved past the fork. After several forks any later gap
   * does: which of them a late one stands for is not to be seen from outside.
   */
  #isTold ({ id, at }: Outcome): boolean {
    if (!this.#entries.some(({ type }) => type === 'gap')) return false
    const { epoch, offset } = cursor(id as string)
    const last = this.#entries.findLastIndex((entry) => entry.type === 'message' && cursor(entry.id).epoch === epoch && cursor(entry.id).offset < offset)
    return this.#entries.some((entry, i) => entry.type === 'gap' && i > last && entry.at >= at &&
      (entry.reason === 'forked' || entry.reason === 'epoch' || cursor(entry.id).epoch !== epoch || offset <= cursor(entry.id).offset))
  }

  #wrong (kind: 'duplicates' | 'disorder' | 'losses', what: string): void {
    this.#verdict[kind].push(`${this.#name}: ${what}`)
  }
}

export function cursor (id: string): Cursor {
  const parsed = parseCursor(id)
  if (parsed === undefined) throw new Error(`${id} is no cursor`)
  return parsed
}

function twice (retained: Retained): Retained {
  const seen = new Set<string>()
  return retained.filter(({ text }) => seen.size === seen.add(text).size)
}

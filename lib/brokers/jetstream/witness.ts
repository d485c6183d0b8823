import type { Api } from './api.js'
import type { Lineage, Opening } from './lineage.js'
import { compareLineages, isTold, openSegment } from './lineage.js'

const REMEMBERED = 8

/** A message that was seen here. */
interface Sighting { readonly sequence: number, readonly messageId: string }

/** What was known when a check began. */
export interface Known {
  readonly lineage: Lineage | undefined
  readonly high: Sighting
  readonly remembered: readonly Sighting[]
  readonly end: number
  readonly proof: { readonly epoch: number, readonly sequence: number }
}

/** What this server has seen of the stream: which messages under which sequences. Held against it, that shows what it has lost. */
export class Witness {
  readonly #api: Api
  #high: Sighting = { sequence: 0, messageId: '' }
  /** Highest when the stream was checked before. */
  #remembered: readonly Sighting[] = []
  /** Where the stream ended when it was checked last. */
  #end = 0
  /** The lowest sequence that a publish was given, in an epoch, though it had been given before. */
  #proof = { epoch: 0, sequence: Infinity }
  /** The lineage when the stream was checked last. */
  #checked: Lineage | undefined

  constructor (api: Api) {
    this.#api = api
  }

  /** The highest sequence that is known here to have been given. */
  get high (): number {
    return Math.max(this.#high.sequence, this.#end)
  }

  get known (): Known {
    return { lineage: this.#checked, high: this.#high, remembered: this.#remembered, end: this.high, proof: this.#proof }
  }

  see (sequence: number, messageId: string): void {
    if (sequence > this.#high.sequence) this.#high = { sequence, messageId }
  }

  /** A publish was given a sequence that had been given before, in an epoch. */
  prove (sequence: number, epoch: number): void {
    if (epoch !== this.#proof.epoch || sequence < this.#proof.sequence) this.#proof = { epoch, sequence }
  }

  /** Everybody is told of a loss, by a record: it accounts for all that was seen before, and what was seen may have been under sequences that are given again. */
  forget (record: number): void {
    this.#high = { sequence: record, messageId: '' }
    this.#remembered = []
    this.#end = record
  }

  /** The stream was found to hold what was known of it. */
  confirm (known: Known, lineage: Lineage, last: number): void {
    this.#checked = lineage
    // It was forgotten meanwhile: what was seen, and the end that was asked for, may be of what was lost, and to hold that against the stream would tell of the same loss again.
    if (known.remembered !== this.#remembered) return
    this.#end = Math.max(this.#end, last)
    this.#remembered = [known.high, ...this.#remembered.filter(({ sequence }) => sequence < known.high.sequence)].slice(0, REMEMBERED)
  }

  /** Where something of what was known is lost, and nobody is told yet: from where on, if that is known. `lineage`, `last`: as they are in the stream. */
  async untoldLoss ({ lineage: before, high, end, proof }: Known, lineage: Lineage, last: number, deadline: number): Promise<Pick<Opening, 'start'> | undefined> {
    if (before === undefined) return undefined
    const { common, news } = compareLineages(before, lineage)
    if (common === undefined || isTold(news)) return undefined
    // What was begun after it was lost as a whole.
    if (common.epoch !== openSegment(before).epoch) return {}
    const isOpen = news.length === 0
    const fork = Math.min(
      isOpen && proof.epoch === common.epoch ? proof.sequence - 1 : Infinity,
      last < end ? last : Infinity,
      await this.#firstOther(high, last, deadline)
    )
    if (fork === Infinity) return undefined
    // What is behind another segment has its ids from there.
    return isOpen ? { start: Math.max(fork, common.start) } : {}
  }

  /** The sequence after which the stream may hold other messages than were seen; `Infinity` where it does not. Of those that it no longer holds nothing can be said. */
  async #firstOther (high: Sighting, last: number, deadline: number): Promise<number> {
    let differs = false
    for (const { sequence, messageId } of [high, ...this.#remembered]) {
      if (messageId === '' || sequence > last) continue
      const stored = await this.#api.at(sequence, deadline)
      if (stored?.messageId === messageId) return differs ? sequence : Infinity
      differs ||= stored !== undefined
    }
    return differs ? 0 : Infinity
  }
}

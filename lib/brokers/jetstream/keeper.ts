import type { Api, StreamInfo } from './api.js'
import type { Lineage, Opening } from './lineage.js'
import type { Bounds } from './stream.js'
import { randomInt } from 'node:crypto'
import { errors } from '../../errors.js'
import { lastMark, nextRecord, openSegment, parseRecord } from './lineage.js'
import { boundsOf } from './stream.js'

// When the next mark is made, in ms, where messages came since the last; and in any case in that part of the time that a record is kept.
const HOUR = 60 * 60 * 1000
const PART = 1 / 8
const WITNESSES = 8

/** A message that was seen here. */
interface Witness { readonly sequence: number, readonly messageId: string }

export interface KeeperOptions {
  api: Api
  /** Where records are stored. */
  subject: string
  /** Sees to it that there is a stream. */
  ensure: (deadline: number) => Promise<void>
  /** The lineage is another one: whoever stands in it is to be held against it. */
  changed: () => void
}

/**
 * Keeps the stream's lineage, together with the other servers, and finds out when the stream has lost what it had
 * acknowledged: an older copy was restored, it was deleted or purged, a disk lied. The stream itself would not tell: it goes
 * on with sequences that it had given before. So each server remembers which messages it saw under which sequences. Where
 * the stream ends below them, or holds others in their place, a segment is opened that is flagged.
 */
export class Keeper {
  readonly #options: KeeperOptions
  #lineage: Lineage | undefined
  #adoptions = 0
  #bounds: Bounds = { perRoom: Infinity, maxAge: Infinity, bytes: Infinity }
  #high: Witness = { sequence: 0, messageId: '' }
  /** Highest when the stream was checked before. */
  #witnesses: Witness[] = []
  /** Where the stream ended when it was checked last. */
  #end = 0
  /** The lowest sequence that a publish was given though it had been given before. */
  #proof = Infinity
  /** The epoch that was begun here last. */
  #begun: number | undefined
  #checking: Promise<StreamInfo> | undefined
  #next: Promise<StreamInfo> | undefined

  constructor (options: KeeperOptions) {
    this.#options = options
  }

  get known (): boolean {
    return this.#lineage !== undefined
  }

  /** As far as it is known here. There is none before the first check. */
  get lineage (): Lineage {
    if (this.#lineage === undefined) throw new errors.BrokerAway('the stream has not been read yet')
    return this.#lineage
  }

  /** How much the stream keeps. */
  get bounds (): Bounds {
    return this.#bounds
  }

  /** The highest sequence that is known here to have been given. */
  get high (): number {
    return Math.max(this.#high.sequence, this.#end)
  }

  get epoch (): number {
    return openSegment(this.lineage).epoch
  }

  see (sequence: number, messageId: string): void {
    if (sequence > this.#high.sequence) this.#high = { sequence, messageId }
  }

  /** A record has come live. False where it does not go on from what is known here: to be followed by a check. */
  learn (text: string, sequence: number): boolean {
    const lineage = parseRecord(text, sequence, Date.now())
    if (this.#lineage === undefined) return true
    if (lineage === undefined || !lineage.segments.some(({ epoch }) => epoch === this.epoch)) return false
    // A repeat would lead back.
    if (sequence > lastMark(this.#lineage).sequence) this.#adopt(lineage)
    return true
  }

  /** A publish was given a sequence that had been given before, in an epoch. To be followed by a check. */
  prove (sequence: number, epoch: number): void {
    if (epoch === this.epoch) this.#proof = Math.min(this.#proof, sequence)
  }

  /** Holds what was seen here against the stream; answers how that stands. Where a check is under way, another follows: it may have begun before what the caller knows of. */
  check (deadline: number): Promise<StreamInfo> {
    if (this.#checking === undefined) {
      this.#checking = this.#check(deadline).finally(() => { this.#checking = undefined })
      return this.#checking
    }
    this.#next ??= this.#checking.catch(() => {}).then(() => {
      this.#next = undefined
      return this.check(deadline)
    })
    return this.#next
  }

  /**
   * Where no other server is there that could know of a loss, another segment begins, though nothing is known to be lost:
   * should this be an older copy, cursors of what was lost lie behind the end of the last segment, and are known by that.
   */
  async begin (deadline: number): Promise<void> {
    await this.check(deadline)
    if (this.epoch !== this.#begun) await this.renew(this.epoch, deadline)
  }

  /** Begins another segment after that of an epoch, unless another server did. As `begin`, where NATS was restarted: nobody may go on under an epoch that messages were lost of, as nobody knows which server saw the last. */
  async renew (epoch: number, deadline: number): Promise<void> {
    while (this.epoch === epoch) {
      await this.#write({ epoch: newEpoch(), flagged: false }, deadline)
      if (this.epoch === epoch) await this.check(deadline)
    }
  }

  async #check (deadline: number): Promise<StreamInfo> {
    const { api, subject, ensure } = this.#options
    const [high, end, proof, before] = [this.#high, this.high, this.#proof, this.#lineage]
    for (;;) {
      let info = await api.info(deadline)
      if (info === undefined || this.#lineage === undefined) {
        await ensure(deadline)
        info = await api.info(deadline)
        if (info === undefined) continue
      }
      this.#bounds = boundsOf(info.config)
      const adoptions = this.#adoptions
      const record = await api.last(subject, deadline)
      // One that came live meanwhile is newer, though it was heard of before this answer.
      if (adoptions !== this.#adoptions) continue
      const lineage = record === undefined ? undefined : parseRecord(record.text, record.sequence, record.time)
      if (lineage === undefined) {
        // Whatever is there belongs to a history that nobody knows any more.
        await this.#write({ epoch: newEpoch(), flagged: true }, deadline, record?.sequence ?? 0)
        continue
      }
      this.#adopt(lineage)
      const { epoch } = openSegment(lineage)
      const wentBack = before !== undefined && openSegment(before).epoch !== epoch && before.segments.some((segment) => segment.epoch === epoch)
      // A segment that was opened since accounts for all that was seen before.
      const mine = before !== undefined && openSegment(before).epoch === epoch
      const { last_seq: last } = info.state
      const fork = mine ? Math.min(proof - 1, last < end ? last : Infinity, await this.#firstOther(high, last, deadline)) : Infinity
      if (wentBack || fork < Infinity) {
        const start = fork < Infinity ? { start: Math.max(fork, openSegment(lineage).start) } : {}
        await this.#write({ epoch: newEpoch(), flagged: true, ...start }, deadline)
        continue
      }
      this.#end = Math.max(this.#end, last)
      this.#witnesses = [high, ...this.#witnesses.filter(({ sequence }) => sequence < high.sequence)].slice(0, WITNESSES)
      if (this.#isDue(lineage, last)) await this.#write(undefined, deadline)
      return info
    }
  }

  /** The sequence after which the stream may hold other messages than were seen; `Infinity` where it does not. Of those that it no longer holds nothing can be said. */
  async #firstOther (high: Witness, last: number, deadline: number): Promise<number> {
    let differs = false
    for (const { sequence, messageId } of [high, ...this.#witnesses]) {
      if (messageId === '' || sequence > last) continue
      const stored = await this.#options.api.at(sequence, deadline)
      if (stored?.messageId === messageId) return differs ? sequence : Infinity
      differs ||= stored !== undefined
    }
    return differs ? 0 : Infinity
  }

  #isDue (lineage: Lineage, last: number): boolean {
    const { sequence, time } = lastMark(lineage)
    const age = Date.now() - time
    return age > this.#bounds.maxAge * PART || (age > HOUR && last > sequence)
  }

  /** Writes the next record, unless another server was first: whoever needs it looks again. */
  async #write (opens: Opening | undefined, deadline: number, last?: number): Promise<void> {
    const { api, subject } = this.#options
    // Without a record in the stream there is nothing to go on from.
    const lineage = last === undefined ? this.lineage : undefined
    const text = nextRecord(lineage, opens, Date.now() - this.#bounds.maxAge)
    const adoptions = this.#adoptions
    const sequence = await api.publishAfter(subject, text, last ?? lastMark(this.lineage).sequence, deadline)
    if (sequence === undefined) return
    if (opens !== undefined) this.#begun = opens.epoch
    // It came live as well, and so may have the next.
    if (adoptions === this.#adoptions || sequence > lastMark(this.lineage).sequence) this.#adopt(parseRecord(text, sequence, Date.now()) as Lineage)
  }

  #adopt (lineage: Lineage): void {
    const before = this.#lineage
    this.#lineage = lineage
    this.#adoptions++
    const { sequence } = lastMark(lineage)
    if (before !== undefined && openSegment(before).epoch !== openSegment(lineage).epoch) {
      // What was seen of what was before can be told from what is now by its epoch.
      this.#high = { sequence, messageId: '' }
      this.#witnesses = []
      this.#end = sequence
      this.#proof = Infinity
      this.#options.changed()
    } else this.see(sequence, '')
  }
}

function newEpoch (): number {
  return randomInt(1, 2 ** 48 - 1)
}

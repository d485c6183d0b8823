import type { ServerInfo } from '@nats-io/transport-node'
import type { Api, StreamInfo } from './api.js'
import type { Lineage, Opening } from './lineage.js'
import type { Bounds } from './stream.js'
import { randomInt } from 'node:crypto'
import { errors } from '../../errors.js'
import { compareLineages, isTold, lastMark, nextRecord, openSegment, parseRecord } from './lineage.js'
import { boundsOf } from './stream.js'

// When the next mark is made, in ms, where messages came since the last; and in any case in that part of the time that a record is kept.
const HOUR = 60 * 60 * 1000
const PART = 1 / 8
const WITNESSES = 8

/** A message that was seen here. */
interface Witness { readonly sequence: number, readonly messageId: string }

/** What was known when a check began. */
interface Seen {
  readonly lineage: Lineage | undefined
  readonly high: Witness
  readonly witnesses: readonly Witness[]
  readonly end: number
  readonly proof: { readonly epoch: number, readonly sequence: number }
}

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
  #witnesses: readonly Witness[] = []
  /** Where the stream ended when it was checked last. */
  #end = 0
  /** The lowest sequence that a publish was given, in an epoch, though it had been given before. */
  #proof = { epoch: 0, sequence: Infinity }
  /** The lineage when the stream was checked last. */
  #checked: Lineage | undefined
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

  /** What records are stored under: there is one as soon as the stream has been checked. */
  get subject (): string {
    return this.#options.subject
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
    if (epoch === this.epoch && (epoch !== this.#proof.epoch || sequence < this.#proof.sequence)) this.#proof = { epoch, sequence }
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

  /**
   * Begins another segment, of which nobody is told, after that of an epoch, and where the last one was not begun on this process of NATS: of one
   * that was there before, a copy may have been restored, and nobody knows which server saw the last message, and under which epoch.
   */
  async renew (after: number | undefined, deadline: number): Promise<void> {
    for (;;) {
      const process = await this.#process(deadline)
      const isDone = (): boolean => this.epoch !== after && this.lineage.processes.includes(process)
      if (!isDone()) await this.#open({ flagged: false, process }, deadline)
      if (isDone() && this.#isOn(process)) return
      await this.check(deadline)
    }
  }

  /** The process of NATS that this is linked to. */
  async #process (deadline: number): Promise<string> {
    const { info } = await this.#options.api.connection.reach(deadline)
    return (info as ServerInfo).server_id
  }

  #isOn (process: string): boolean {
    return this.#options.api.connection.serverInfo?.server_id === process
  }

  async #check (deadline: number): Promise<StreamInfo> {
    const { api, subject, ensure } = this.#options
    const seen: Seen = { lineage: this.#checked, high: this.#high, witnesses: this.#witnesses, end: this.high, proof: this.#proof }
    for (;;) {
      const process = await this.#process(deadline)
      let info = await api.info(deadline)
      if (info === undefined || this.#lineage === undefined) {
        await ensure(deadline)
        info = await api.info(deadline)
        if (info === undefined) continue
      }
      this.#bounds = boundsOf(info.config)
      const adoptions = this.#adoptions
      const record = await api.last(subject, deadline)
      // One that came live meanwhile is newer, though it was heard of before this answer; and answers of two processes may be of two streams.
      if (adoptions !== this.#adoptions || !this.#isOn(process)) continue
      const lineage = record === undefined ? undefined : parseRecord(record.text, record.sequence, record.time)
      if (lineage === undefined) {
        // Whatever is there belongs to a history that nobody knows any more.
        await this.#open({ flagged: true, process }, deadline, record?.sequence ?? 0)
        continue
      }
      this.#adopt(lineage)
      const { last_seq: last } = info.state
      const loss = await this.#untoldLoss(seen, lineage, last, deadline)
      if (!this.#isOn(process)) continue
      if (loss !== undefined) {
        await this.#open({ ...loss, flagged: true, process }, deadline)
        continue
      }
      this.#checked = lineage
      this.#end = Math.max(this.#end, last)
      // Unless they were forgotten meanwhile: then what was seen is of what was lost, and to hold it against the stream would tell of the same loss again.
      if (seen.witnesses === this.#witnesses) this.#witnesses = [seen.high, ...this.#witnesses.filter(({ sequence }) => sequence < seen.high.sequence)].slice(0, WITNESSES)
      if (this.#isDue(lineage, last)) await this.#write(undefined, deadline)
      return info
    }
  }

  /** Where something is lost of which nobody is told yet: from where on, if that is known. */
  async #untoldLoss ({ lineage: before, high, end, proof }: Seen, lineage: Lineage, last: number, deadline: number): Promise<Pick<Opening, 'start'> | undefined> {
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

  async #open (how: Omit<Opening, 'epoch'>, deadline: number, last?: number): Promise<void> {
    if (this.#isOn(how.process)) await this.#write({ ...how, epoch: randomInt(1, 2 ** 48 - 1) }, deadline, last)
  }

  /** Writes the next record, unless another server was first, or the link broke: whoever needs it looks again. */
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
    const isOther = before !== undefined && openSegment(before).epoch !== this.epoch
    if (isOther && isTold(compareLineages(before, lineage).news)) {
      // It accounts for all that was seen before, and what was seen may have been under sequences that are given again.
      this.#high = { sequence, messageId: '' }
      this.#witnesses = []
      this.#end = sequence
    } else this.see(sequence, '')
    if (isOther) this.#options.changed()
  }
}

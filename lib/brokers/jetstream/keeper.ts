import type { ServerInfo } from '@nats-io/transport-node'
import type { Api, StreamInfo } from './api.js'
import type { Lineage, Opening } from './lineage.js'
import type { Bounds } from './stream.js'
import { randomInt } from 'node:crypto'
import { errors } from '../../errors.js'
import { compareLineages, isMark, isTold, lastMark, nextRecord, openSegment, parseRecord } from './lineage.js'
import { isGone } from './refusals.js'
import { boundsOf } from './stream.js'
import { Witness } from './witness.js'

// When the next mark is made, in ms, where messages came since the last; and in any case in that part of the time that a record is kept.
const HOUR = 60 * 60 * 1000
const PART = 1 / 8

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
 * on with sequences that it had given before. So each server remembers which messages it saw under which sequences
 * (`witness.ts`). Where the stream ends below them, or holds others in their place, a segment is opened that is flagged.
 */
export class Keeper {
  readonly #options: KeeperOptions
  readonly #witness: Witness
  #lineage: Lineage | undefined
  #adoptions = 0
  #bounds: Bounds = { perRoom: Infinity, maxAge: Infinity, bytes: Infinity }
  /** The epoch that was begun here last. */
  #begun: number | undefined
  #checking: Promise<StreamInfo> | undefined
  #next: Promise<StreamInfo> | undefined
  /** Until when somebody waits for that. */
  #nextDeadline = 0

  constructor (options: KeeperOptions) {
    this.#options = options
    this.#witness = new Witness(options.api)
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
    return this.#witness.high
  }

  get epoch (): number {
    return openSegment(this.lineage).epoch
  }

  see (sequence: number, messageId: string): void {
    this.#witness.see(sequence, messageId)
  }

  /** A record has come live. False where it does not go on from what is known here: to be followed by a check. */
  learn (text: string, sequence: number): boolean {
    const lineage = parseRecord(text, sequence, Date.now())
    if (this.#lineage === undefined) return true
    if (lineage === undefined || !lineage.segments.some(({ epoch }) => epoch === this.epoch)) return false
    // A repeat would lead back; and what is none is of another stream, which had less.
    if (sequence <= lastMark(this.#lineage).sequence) return isMark(this.#lineage, sequence)
    this.#adopt(lineage)
    return true
  }

  /** A publish was given a sequence that had been given before, in an epoch. To be followed by a check. */
  prove (sequence: number, epoch: number): void {
    if (epoch === this.epoch) this.#witness.prove(sequence, epoch)
  }

  /** Holds what was seen here against the stream; answers how that stands. Where a check is under way, another follows: it may have begun before what the caller knows of. */
  check (deadline: number): Promise<StreamInfo> {
    if (this.#checking === undefined) {
      // The stream can be deleted in the middle of it.
      const again = async (error: unknown): Promise<StreamInfo> => {
        if (!isGone(error)) throw error
        return await this.#check(deadline)
      }
      this.#checking = this.#check(deadline).catch(again).finally(() => { this.#checking = undefined })
      return this.#checking
    }
    this.#nextDeadline = this.#next === undefined ? deadline : Math.max(this.#nextDeadline, deadline)
    this.#next ??= this.#checking.catch(() => {}).then(() => {
      this.#next = undefined
      return this.check(this.#nextDeadline)
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
    const witness = this.#witness
    const { known } = witness
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
      const loss = await witness.untoldLoss(known, lineage, last, deadline)
      // Another server may have written it down meanwhile: to write what was found against an older record would tell of it again.
      if (lineage !== this.#lineage || !this.#isOn(process)) continue
      if (loss !== undefined) {
        await this.#open({ ...loss, flagged: true, process }, deadline)
        continue
      }
      witness.confirm(known, lineage, last)
      if (this.#isDue(lineage, last)) await this.#write(undefined, deadline)
      return info
    }
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
    if (isOther && isTold(compareLineages(before, lineage).news)) this.#witness.forget(sequence)
    else this.see(sequence, '')
    if (isOther) this.#options.changed()
  }
}

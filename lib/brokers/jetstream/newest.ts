import type { Scheduler } from '../../scheduler.js'
import type { Api, Stored } from './api.js'
import type { Keeper } from './keeper.js'
import { belongs } from './lineage.js'

// Rooms that are asked for in one request, and from how many on.
const MOST = 256
const FEW = 16
// How long such a request may take, in ms, before they are asked for one by one.
const PATIENCE = 1_000
// Bytes of one answer, about: more at once could pass for a client that does not keep up.
const BYTES = 1024 * 1024

export type Found = Pick<Stored, 'sequence' | 'messageId'>

export interface NewestOptions {
  api: Api
  keeper: Keeper
  scheduler: Scheduler
}

/** Rooms whose newest messages are asked for together. */
interface Batch {
  readonly subjects: Set<string>
  deadline: number
  /** Undefined where that cannot be told of all at once. */
  found?: Promise<Map<string, Found> | undefined>
}

/** Finds the newest messages of rooms, as the leader of the stream knows them. */
export class Newest {
  readonly #options: NewestOptions
  #batch: Batch | undefined
  /** The server that answered last that it does not know of this. */
  #unable: string | undefined

  constructor (options: NewestOptions) {
    this.#options = options
  }

  /** The newest message of a room, with its text. */
  async whole (subject: string, deadline: number): Promise<Stored | undefined> {
    const newest = await this.#options.api.last(subject, deadline)
    if (newest !== undefined) await this.#see(newest, deadline)
    return this.#current(newest)
  }

  /** Where it is stored. What is asked for in one turn of the event loop is asked for together. */
  async of (subject: string, deadline: number): Promise<Found | undefined> {
    const batch = this.#gather()
    batch.subjects.add(subject)
    batch.deadline = Math.max(batch.deadline, deadline)
    const found = await batch.found
    return found === undefined ? await this.whole(subject, deadline) : this.#current(found.get(subject))
  }

  #gather (): Batch {
    if (this.#batch === undefined || this.#batch.subjects.size >= MOST) {
      const batch: Batch = this.#batch = { subjects: new Set(), deadline: 0 }
      batch.found = new Promise<void>((resolve) => this.#options.scheduler.soon(resolve)).then(() => {
        if (this.#batch === batch) this.#batch = undefined
        return this.#find(batch)
      }).catch(() => undefined)
    }
    return this.#batch
  }

  /**
   * By a direct get of many, which servers have from 2.11 on. Any of the nodes that keep the stream answers it, and says how
   * far it has come: what was stored when the leader was asked must be there.
   */
  async #find ({ subjects, deadline }: Batch): Promise<Map<string, Found> | undefined> {
    const { api, keeper } = this.#options
    const server = api.connection.serverInfo?.server_id
    if (subjects.size < FEW || server === this.#unable) return undefined
    const { config, state: { last_seq: end } } = await keeper.check(deadline)
    if (config.allow_direct !== true) return undefined
    const found = new Map<string, Found>()
    let highest: Found | undefined
    const until = Math.min(deadline, api.now + PATIENCE)
    for (let left = [...subjects]; left.length > 0;) {
      const answer = await api.directly({ multi_last: [keeper.subject, ...left], max_bytes: BYTES }, until, (header) => ({
        subject: header('Nats-Subject'),
        sequence: Number(header('Nats-Sequence')),
        messageId: header('Nats-Msg-Id')
      }))
      if (answer === 'unknown') this.#unable = server
      if (answer === 'unknown' || answer.end < end) return undefined
      for (const { subject, ...stored } of answer.messages) {
        found.set(subject, stored)
        if (highest === undefined || stored.sequence > highest.sequence) highest = stored
      }
      left = answer.pending > 0 ? left.filter((subject) => !found.has(subject)) : []
    }
    if (highest !== undefined) await this.#see(highest, deadline)
    return found
  }

  /** A record that came before it may be on its way still: so that is looked for. The message has been seen before that, and is not forgotten if the link breaks meanwhile. */
  async #see ({ sequence, messageId }: Found, deadline: number): Promise<void> {
    const { keeper } = this.#options
    const isHigher = sequence > keeper.high
    keeper.see(sequence, messageId)
    if (isHigher) await keeper.check(deadline)
  }

  #current<T extends Found> (newest: T | undefined): T | undefined {
    return newest !== undefined && belongs(this.#options.keeper.lineage, newest.sequence) ? newest : undefined
  }
}

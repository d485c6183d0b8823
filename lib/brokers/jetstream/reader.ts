import type { Subscription } from '../nats/subscription.js'
import type { Api, Stored } from './api.js'
import type { Placed } from './pack.js'
import { createInbox } from '@nats-io/transport-node'
import { textsOf, unpack } from './pack.js'

// How long a page may take, in ms, before it is asked for in another way.
const PATIENCE = 2_000
// When a consumer is removed that nobody asks any more, in ns.
const INACTIVE = 5e9

// Bytes of one page, about: more at once could pass for a client that does not keep up.
const MOST = 1024 * 1024
const SOME = 16

/** A part of what is stored under one subject, oldest first. */
export interface Page {
  messages: Placed[]
  /** Whether there are more behind them. */
  more: boolean
}

/** The same, as it is stored. */
interface Packs {
  packs: Stored[]
  more: boolean
}

/**
 * Reads what is stored under a subject, in as few requests as the server can do it: by a batched direct get, which servers
 * have from 2.11 on, or else by a consumer that lives as long as the page.
 */
export class Reader {
  readonly #api: Api
  /** The server that answered last that it does not know of batches. */
  #batchless: string | undefined

  constructor (api: Api) {
    this.#api = api
  }

  /**
   * The messages after a place, at most so many, and whether there are more behind them. `newest` is certainly there: batches
   * and consumers are served by any of the nodes that keep the stream, which can be behind. What they lack is read from the leader.
   */
  async read (subject: string, after: number, limit: number, newest: Stored, deadline: number): Promise<Page> {
    const messages: Placed[] = []
    let [from, size, packs, more] = [Math.floor(after) + 1, 0, 0, true]
    while (more && messages.length < limit && size < MOST) {
      // How many are in a pack is not known before.
      const each = messages.length === 0 ? textsOf(newest).length : Math.max(1, messages.length / packs)
      const page = await this.#page(subject, from, Math.ceil((limit - messages.length) / each), newest.sequence, deadline)
      messages.push(...page.packs.flatMap(unpack).filter(({ place }) => place > after))
      more = page.more && page.packs.length > 0
      from = (page.packs.at(-1)?.sequence ?? 0) + 1
      size += sizeOf(page.packs)
      packs += page.packs.length
    }
    return { messages: messages.slice(0, limit), more: more || messages.length > limit }
  }

  /** From a sequence on. */
  async #page (subject: string, from: number, limit: number, top: number, deadline: number): Promise<Packs> {
    const server = this.#api.connection.serverInfo?.server_id
    if (server === undefined || server !== this.#batchless) {
      const page = await this.#patiently(deadline, (until) => this.#batch(subject, from, limit, until))
      if (page !== undefined && reaches(page, top)) return page
      if (page === 'unknown') this.#batchless = server
    }
    const page = await this.#patiently(deadline, (until) => this.#consume(subject, from, limit, until))
    return page !== undefined && reaches(page, top) ? page : await this.#readSingly(subject, from, limit, deadline)
  }

  /** Undefined where that is of no use: there is another way. */
  async #patiently<T> (deadline: number, read: (until: number) => Promise<T>): Promise<T | undefined> {
    try {
      return await read(Math.min(deadline, this.#api.now + PATIENCE))
    } catch {
      return undefined
    }
  }

  async #batch (subject: string, from: number, limit: number, deadline: number): Promise<Packs | 'unknown'> {
    // One more than is wanted: of a single one no batch is made.
    const batch = await this.#api.directly({ seq: from, next_by_subj: subject, batch: limit + 1, max_bytes: MOST }, deadline, (header, message): Stored => ({
      sequence: Number(header('Nats-Sequence')),
      time: Date.parse(header('Nats-Time-Stamp')),
      text: message.string(),
      messageId: header('Nats-Msg-Id')
    }))
    if (batch === 'unknown') return batch
    return { packs: batch.messages.slice(0, limit), more: batch.pending > 0 || batch.messages.length > limit }
  }

  async #consume (subject: string, from: number, limit: number, deadline: number): Promise<Packs> {
    const { stream } = this.#api
    const config = { deliver_policy: 'by_start_sequence', opt_start_seq: from, filter_subject: subject, ack_policy: 'none', max_deliver: 1, mem_storage: true, num_replicas: 1, inactive_threshold: INACTIVE }
    const { name, num_pending: count } = await this.#api.ask<{ name: string, num_pending: number }>(`CONSUMER.CREATE.${stream}`, { stream_name: stream, config }, deadline)
    const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`
    const wanted = Math.min(count, limit)
    const packs = await this.#take(next, 0, Math.min(wanted, SOME), deadline)
    // By the first ones it is known how large the others may be.
    const rest = Math.min(wanted, Math.floor(MOST * packs.length / sizeOf(packs))) - packs.length
    if (rest > 0) packs.push(...await this.#take(next, packs.length, rest, deadline))
    // It would go by itself, a little later.
    this.#api.ask(`CONSUMER.DELETE.${stream}.${name}`, {}, deadline).catch(() => {})
    return { packs, more: packs.length < count }
  }

  /** What a consumer sends comes under its own subject, and so to a subscription of its own. `taken`: how many it has sent before. Ends before one that got lost. */
  async #take (subject: string, taken: number, batch: number, deadline: number): Promise<Stored[]> {
    const { connection } = this.#api
    const messages: Stored[] = []
    if (batch === 0) return messages
    const inbox = createInbox()
    let subscription: Subscription | undefined
    try {
      await this.#api.within(deadline, (done) => {
        subscription = connection.subscribe(inbox, (reply) => {
          if ((reply.headers?.code ?? 0) !== 0) return done()
          // $JS.ACK.….<sequence>.<of the consumer>.<time in ns>.<pending>
          const [sequence, count, time] = (reply.reply ?? '').split('.').slice(-4)
          if (Number(count) !== taken + messages.length + 1) return done()
          messages.push({ sequence: Number(sequence), time: Number(time) / 1e6, text: reply.string(), messageId: reply.headers?.get('Nats-Msg-Id') ?? '' })
          if (messages.length === batch) done()
        })
        connection.publish(subject, JSON.stringify({ batch, no_wait: true }), { reply: inbox })
      })
    } catch (error) {
      // They come in order: what has come will do for the beginning.
      if (messages.length === 0) throw error
    } finally {
      subscription?.unsubscribe()
    }
    return messages
  }

  async #readSingly (subject: string, from: number, limit: number, deadline: number): Promise<Packs> {
    const packs: Stored[] = []
    for (let sequence = from; packs.length <= limit;) {
      const next = await this.#api.next(subject, sequence, deadline)
      if (next === undefined) return { packs, more: false }
      packs.push(next)
      sequence = next.sequence + 1
    }
    return { packs: packs.slice(0, limit), more: true }
  }
}

function sizeOf (packs: readonly Stored[]): number {
  return packs.reduce((size, { text }) => size + text.length, 1)
}

function reaches (page: Packs | 'unknown', top: number): page is Packs {
  if (page === 'unknown') return false
  const last = page.packs.at(-1)
  // A consumer can know of messages that it does not send yet.
  return last !== undefined && (page.more || last.sequence >= top)
}

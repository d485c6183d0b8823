import type { Subscription } from '../nats/subscription.js'
import type { Api, Stored } from './api.js'
import { createInbox } from '@nats-io/transport-node'
import { errors } from '../../errors.js'
import { numberIn } from './api.js'

// How long a page may take, in ms, before it is asked for in another way.
const PATIENCE = 2_000
// When a consumer is removed that nobody asks any more, in ns.
const INACTIVE = 5e9

// Bytes of one page, about: more at once could pass for a client that does not keep up.
const MOST = 1024 * 1024
const SOME = 16

/** Messages of one subject, oldest first. */
export interface Page {
  messages: Stored[]
  /** Whether there are more behind them. */
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
   * From a sequence on, at most so many. `top` is the sequence of a message that is certainly there: batches and consumers
   * are served by any of the nodes that keep the stream, which can be behind. What they lack is read from the leader.
   */
  async read (subject: string, from: number, limit: number, top: number, deadline: number): Promise<Page> {
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

  async #batch (subject: string, from: number, limit: number, deadline: number): Promise<Page | 'unknown'> {
    const messages: Stored[] = []
    let unknown = false
    let pending = 0
    // One more than is wanted: of a single message no batch is made.
    const request = { seq: from, next_by_subj: subject, batch: limit + 1, max_bytes: MOST }
    await this.#api.connection.requestMany(`$JS.API.DIRECT.GET.${this.#api.stream}`, JSON.stringify(request), {
      deadline,
      onReply: (reply) => {
        const { headers } = reply
        const code = headers?.code ?? 0
        pending = numberIn(headers, 'Nats-Num-Pending')
        if (code === 204 || code === 404) return true
        if (code !== 0) throw new errors.BrokerAway(`JetStream answers ${code} ${headers?.description}`)
        unknown = headers?.has('Nats-Num-Pending') !== true
        messages.push({
          sequence: numberIn(headers, 'Nats-Sequence'),
          time: Date.parse(headers?.get('Nats-Time-Stamp') ?? ''),
          text: reply.string(),
          messageId: headers?.get('Nats-Msg-Id') ?? ''
        })
        return unknown
      }
    })
    return unknown ? 'unknown' : { messages: messages.slice(0, limit), more: pending > 0 || messages.length > limit }
  }

  async #consume (subject: string, from: number, limit: number, deadline: number): Promise<Page> {
    const { stream } = this.#api
    const config = { deliver_policy: 'by_start_sequence', opt_start_seq: from, filter_subject: subject, ack_policy: 'none', max_deliver: 1, mem_storage: true, num_replicas: 1, inactive_threshold: INACTIVE }
    const { name, num_pending: count } = await this.#api.ask<{ name: string, num_pending: number }>(`CONSUMER.CREATE.${stream}`, { stream_name: stream, config }, deadline)
    const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`
    const wanted = Math.min(count, limit)
    const messages = await this.#take(next, Math.min(wanted, SOME), deadline)
    // By the first ones it is known how large the others may be.
    const rest = Math.min(wanted, Math.floor(MOST * messages.length / sizeOf(messages))) - messages.length
    if (rest > 0) messages.push(...await this.#take(next, rest, deadline))
    // It would go by itself, a little later.
    this.#api.ask(`CONSUMER.DELETE.${stream}.${name}`, {}, deadline).catch(() => {})
    return { messages, more: messages.length < count }
  }

  /** What a consumer sends comes under its own subject, and so to a subscription of its own. */
  async #take (subject: string, batch: number, deadline: number): Promise<Stored[]> {
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
          const [sequence, , time] = (reply.reply ?? '').split('.').slice(-4)
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

  async #readSingly (subject: string, from: number, limit: number, deadline: number): Promise<Page> {
    const messages: Stored[] = []
    for (let sequence = from; messages.length <= limit;) {
      const message = await this.#api.next(subject, sequence, deadline)
      if (message === undefined) return { messages, more: false }
      messages.push(message)
      sequence = message.sequence + 1
    }
    return { messages: messages.slice(0, limit), more: true }
  }
}

function sizeOf (messages: readonly Stored[]): number {
  return messages.reduce((size, { text }) => size + text.length, 1)
}

function reaches (page: Page | 'unknown', top: number): page is Page {
  return page !== 'unknown' && (page.more || (page.messages.at(-1)?.sequence ?? 0) >= top)
}

import type { NatsConnection as Client, Msg, MsgHdrs, ServerInfo } from '@nats-io/transport-node'
import type { Scheduler } from '../../scheduler.js'
import type { Question } from './inbox.js'
import type { NatsOptions } from './url.js'
import { InvalidArgumentError, PermissionViolationError } from '@nats-io/transport-node'
import { errors } from '../../errors.js'
import { Inbox } from './inbox.js'
import { Lifeline } from './lifeline.js'
import { Pending } from './pending.js'
import { refusal, Subscription } from './subscription.js'

export type { NatsConnection as Client, Msg, MsgHdrs, ServerInfo } from '@nats-io/transport-node'
export type { Subscription } from './subscription.js'
export { isRefusal } from './subscription.js'

// In ms, before what was refused is subscribed to again.
const AGAIN = 500
// The other servers of a cluster learn of a subscription a little later, in ms, and nobody says when.
const SPREAD = 50
// What NATS says where a limit of its own is reached, and not of which subscription.
const TOO_MANY = /maximum (account )?subscriptions exceeded/i

export interface ConnectionEvents {
  /** The link is whole, at first or again: NATS has all subscriptions. */
  connected (): void
  /**
   * It is broken, or a subscription was taken away: what is sent to them from now on may not come. Also where it was not
   * whole yet, since messages may have come of it already.
   */
  disconnected (): void
}

/**
 * A connection to NATS that is made again, without limit, whenever it breaks. What was under way then fails at once, and
 * nothing is sent later: what nobody took is gone with its link, and publishing needs a link.
 */
export class NatsConnection {
  readonly #scheduler: Scheduler
  readonly #events: ConnectionEvents
  readonly #lifeline: Lifeline
  readonly #pending: Pending
  readonly #inbox: Inbox
  readonly #subscriptions = new Set<Subscription>()
  /** Those of which NATS may still say that it does not take them. */
  readonly #untaken = new Set<Subscription>()
  #whole = false
  /** What is sent to the subscriptions comes; before that some may, and other not. */
  #settled = false
  #flushed: Promise<void> | undefined
  #gathering: Promise<void> | undefined

  /** `name` is what NATS shows of it. */
  constructor (options: NatsOptions, scheduler: Scheduler, events: ConnectionEvents, name = 'fastify-fan-out') {
    this.#scheduler = scheduler
    this.#events = events
    this.#pending = new Pending(scheduler, (why) => this.away(why))
    this.#inbox = new Inbox(this.#pending, this)
    this.#lifeline = new Lifeline(options, scheduler, {
      linked: (client) => this.#begin(client),
      lost: () => {
        this.#flushed = undefined
        this.#break()
        this.#pending.fail('the link to NATS broke')
      }
    }, name)
  }

  /** What is known of the server; `undefined` while there is no link. */
  get serverInfo (): ServerInfo | undefined {
    return this.#lifeline.client?.info
  }

  /** Connects, and keeps connected from then on, also where this is rejected, and said again. */
  open (deadline: number): Promise<void> {
    const lifeline = this.#lifeline
    lifeline.open()
    return lifeline.until(() => {
      if (!this.#whole && lifeline.trouble instanceof errors.InvalidOption) throw lifeline.trouble
      return this.#whole
    }, deadline, () => `NATS was not reached in time${lifeline.trouble === undefined ? '' : `: ${lifeline.trouble.message}`}`)
  }

  /** Lets go of everything; what is under way is rejected. */
  close (): Promise<void> {
    return this.#lifeline.close()
  }

  /** Resolves while there is a link, or rejects after `deadline`. */
  reach (deadline: number): Promise<Client> {
    return this.#lifeline.reach(deadline)
  }

  /** Resolves when all that is sent to the subscriptions comes, or rejects after `deadline`. */
  untilWhole (deadline: number): Promise<void> {
    return this.#lifeline.until(() => this.#whole, deadline, () => 'its live link was not there in time')
  }

  /** The link that there is. Throws where there is none. */
  linked (): Client {
    const { client } = this.#lifeline
    if (client === undefined) throw this.away('there is no link to NATS')
    return client
  }

  /** Sends, on this link or not at all. Throws where there is none, or it is too large for the server. */
  publish (subject: string, payload: string | Uint8Array, options: { headers?: MsgHdrs, reply?: string } = {}): void {
    const client = this.linked()
    try {
      // The client would allocate memory for each by itself.
      client.publish(subject, typeof payload === 'string' ? Buffer.from(payload) : payload, options)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      throw new errors.TooLarge(`NATS takes ${client.info?.max_payload} bytes in a message at most (its max_payload)`)
    }
  }

  /** Sends payloads, in order, and resolves when the server has them all; rejects where it refuses the subject, at once when the link breaks, and after `deadline`. */
  async deliver (subject: string, payloads: readonly string[], deadline: number): Promise<void> {
    await this.#pending.add({ subject }, deadline, ({ resolve, reject }) => {
      for (const payload of payloads) this.publish(subject, payload)
      this.#flush().then(resolve, reject)
    })
  }

  /** Resolves when the server has all that was sent; rejects at once when the link breaks, and after `deadline`. */
  async flush (deadline: number): Promise<void> {
    await this.#pending.add({}, deadline, ({ resolve, reject }) => { this.#flush().then(resolve, reject) })
  }

  /**
   * Asks, and resolves with the first answer. Rejects with `BrokerAway` after `deadline`, and at once where the link
   * breaks, where NATS refuses the subject, and where nobody listens to it: then `cause` is a `NoRespondersError`.
   */
  request (subject: string, payload: string | Uint8Array, { headers, deadline }: { headers?: MsgHdrs, deadline: number }): Promise<Msg> {
    return this.#inbox.ask(subject, [{ payload, headers }], deadline, (answer, _, { resolve, reject }) => { if (answer instanceof Error) reject(answer); else resolve(answer) })
  }

  /** The same for several answers, in order: resolves when `onReply` has answered that it was the last one, and rejects with what it throws. */
  requestMany (subject: string, payload: string | Uint8Array, { deadline, onReply }: { deadline: number, onReply: (reply: Msg) => boolean }): Promise<void> {
    return this.#inbox.ask<void>(subject, [{ payload }], deadline, (answer, _, { resolve, reject }) => {
      if (answer instanceof Error) return reject(answer)
      try {
        if (onReply(answer)) resolve()
      } catch (error) {
        reject(error as Error)
      }
    })
  }

  /** Asks several questions at once, in order, at the end of this turn of the event loop: what is asked in it goes out in one system call. Resolves when `onAnswer` was told the answer, or the error, of each; rejects where `request` does while there are questions without one. */
  async requestEach (subject: string, questions: readonly Question[], { deadline, onAnswer }: { deadline: number, onAnswer: (answer: Msg | Error, place: number) => void }): Promise<void> {
    await (this.#gathering ??= this.#turn().then(() => { this.#gathering = undefined }))
    const open = new Set(questions.keys())
    await this.#inbox.ask<void>(subject, questions, deadline, (answer, place, { resolve }) => {
      if (!open.delete(place)) return
      onAnswer(answer, place)
      if (open.size === 0) resolve()
    })
  }

  /** Subscribes, on this link and every later one. Wait for `confirmed`: it is told of there, if NATS refuses it. */
  subscribe (subject: string, onMessage: (message: Msg) => void): Subscription {
    const subscription: Subscription = new Subscription(subject, (message) => { if (this.#settled) onMessage(message) }, {
      confirm: (deadline) => this.#confirm(subscription, deadline),
      takenAway: () => this.#takeAway(),
      end: () => {
        this.#subscriptions.delete(subscription)
        this.#untaken.delete(subscription)
      }
    })
    this.#subscriptions.add(subscription)
    const { client } = this.#lifeline
    if (client !== undefined) this.#attach(subscription, client)
    return subscription
  }

  /** The error for whoever waited in vain; what was wrong with the link is its cause, and no affair of clients. */
  away (why: string): Error {
    return this.#lifeline.away(why)
  }

  #begin (client: Client): void {
    this.#inbox.reset()
    this.#settled = false
    void this.#watch(client)
    for (const subscription of this.#subscriptions) this.#attach(subscription, client)
    void this.#mend(client)
  }

  /** Whether a link is still the present one. */
  #has (client: Client): boolean {
    return this.#lifeline.client === client
  }

  /** Listens for what NATS refuses. */
  async #watch (client: Client): Promise<void> {
    for await (const status of client.status()) {
      if (status.type !== 'error' || !this.#has(client)) continue
      const { error } = status
      if (TOO_MANY.test(error.message)) this.#refuseUntaken(error)
      if (!(error instanceof PermissionViolationError)) continue
      if (this.#inbox.isRefused(error.subject)) this.#pending.refuseAnswers(refusal(error))
      else if (error.operation === 'publish') this.#pending.refuse(error.subject, refusal(error))
    }
  }

  #attach (subscription: Subscription, client: Client): void {
    this.#untaken.add(subscription)
    subscription.attach(client, () => this.#has(client))
  }

  /** It is some of these, and nobody says which. */
  #refuseUntaken (error: Error): void {
    const untaken = [...this.#untaken]
    this.#untaken.clear()
    for (const subscription of untaken) subscription.refuse(error)
    if (untaken.some(({ missing }) => missing)) this.#takeAway()
    if (this.#inbox.refuseUntaken()) this.#pending.refuseAnswers(refusal(error))
  }

  #takeAway (): void {
    const mends = !this.#whole
    this.#break()
    if (!mends) void this.#mend(this.#lifeline.client as Client)
  }

  /** Until every subscription is there. */
  async #mend (client: Client): Promise<void> {
    while (this.#has(client) && !this.#whole) {
      await this.#flush().catch(() => {})
      await this.#spread(client)
      if (!this.#has(client)) return
      this.#settled = true
      const refused = [...this.#subscriptions].filter(({ missing }) => missing)
      if (refused.length === 0) {
        this.#whole = true
        this.#lifeline.wake()
        this.#events.connected()
        return
      }
      this.#lifeline.trouble = refused[0]?.refused
      await this.#lifeline.sleep(AGAIN, () => !this.#has(client))
      if (this.#has(client)) for (const subscription of refused) if (this.#subscriptions.has(subscription)) this.#attach(subscription, client)
    }
  }

  async #confirm (subscription: Subscription, deadline: number): Promise<void> {
    for (;;) {
      const client = await this.reach(deadline)
      try {
        await this.flush(deadline)
      } catch (error) {
        if (this.#has(client)) throw error
        continue
      }
      if (subscription.refused !== undefined) throw subscription.refused
      await this.#spread(client)
      if (this.#has(client)) return
    }
  }

  /** One PING for all that is sent in this turn of the event loop. What NATS refuses comes before its answer, and is told within that turn. */
  #flush (): Promise<void> {
    const client = this.linked()
    this.#flushed ??= this.#turn().then(async () => {
      this.#flushed = undefined
      const sent = [...this.#untaken]
      await client.flush()
      await this.#turn()
      if (this.#has(client)) for (const subscription of sent) this.#untaken.delete(subscription)
    })
    return this.#flushed
  }

  async #spread (client: Client): Promise<void> {
    if (this.#has(client) && client.info?.cluster !== undefined) await this.#lifeline.sleep(SPREAD, () => !this.#has(client))
  }

  #turn (): Promise<void> {
    return new Promise((resolve) => this.#scheduler.soon(resolve))
  }

  #break (): void {
    this.#whole = false
    if (!this.#lifeline.closed) this.#events.disconnected()
  }
}

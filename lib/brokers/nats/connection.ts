import type { NatsConnection as Client, Msg, MsgHdrs, ServerInfo } from '@nats-io/transport-node'
import type { Scheduler } from '../../scheduler.js'
import type { NatsOptions } from './url.js'
import { createInbox, InvalidArgumentError, NoRespondersError, PermissionViolationError } from '@nats-io/transport-node'
import { Deadlines } from '../../deadlines.js'
import { errors, retryAfter } from '../../errors.js'
import { Dialer } from './dial.js'
import { refusal, Subscription } from './subscription.js'

export type { NatsConnection as Client, Msg, MsgHdrs, ServerInfo } from '@nats-io/transport-node'
export type { Subscription } from './subscription.js'
export { isRefusal } from './subscription.js'

// In ms. The link is asked every `PING` whether it is there, and given up where it has not answered for `SILENCE`.
const PING = 1_000
const SILENCE = 2_000
// Between rounds of connects, jittered: the first, growing to the last. And before what was refused is subscribed to again.
const PAUSE = 50
const LONGEST_PAUSE = 800
const AGAIN = 500
// The other servers of a cluster learn of a subscription a little later, in ms, and nobody says when.
const SPREAD = 50

export interface ConnectionEvents {
  /** The link is whole, at first or again: NATS has all subscriptions. */
  connected (): void
  /**
   * It is broken, or a subscription was taken away: what is sent to them from now on may not come. Also where it was not
   * whole yet, since messages may have come of it already.
   */
  disconnected (): void
}

/** Something that waits for the other side. */
interface Pending {
  /** What it published to, and whether it waits for an answer on the inbox. */
  subject: string | undefined
  asks: boolean
  deadline: number
  reject (error: Error): void
}

/**
 * A connection to NATS that is made again, without limit, whenever it breaks. What was under way then fails at once, and
 * nothing is sent later: what nobody took is gone with its link, and publishing needs a link.
 */
export class NatsConnection {
  readonly #scheduler: Scheduler
  readonly #events: ConnectionEvents
  readonly #dialer: Dialer
  readonly #silences: Deadlines
  readonly #subscriptions = new Set<Subscription>()
  readonly #pending = new Set<Pending>()
  readonly #replies = new Map<string, (reply: Msg) => void>()
  readonly #wakes = new Set<() => void>()
  /** While there is a link. */
  #client: Client | undefined
  #whole = false
  /** What is sent to the subscriptions comes; before that some may, and other not. */
  #settled = false
  #opened = false
  #closed = false
  /** Why there is none. */
  #trouble: Error | undefined
  #flushed: Promise<void> | undefined
  #inbox: string | undefined
  #requests = 0
  /** The deadline that a timer is set to. */
  #alarm = Infinity
  #cancelAlarm = (): void => {}

  /** `name` is what NATS shows of it. */
  constructor (options: NatsOptions, scheduler: Scheduler, events: ConnectionEvents, name = 'fastify-fan-out') {
    this.#scheduler = scheduler
    this.#events = events
    this.#dialer = new Dialer(options, scheduler, name)
    this.#silences = new Deadlines(SILENCE, scheduler)
  }

  /** What is known of the server; `undefined` while there is no link. */
  get serverInfo (): ServerInfo | undefined {
    return this.#client?.info
  }

  /** Connects, and keeps connected from then on, also where this is rejected, and said again. */
  async open (deadline: number): Promise<void> {
    if (!this.#opened) {
      this.#opened = true
      void this.#keepConnected()
    }
    while (!this.#whole) {
      if (this.#trouble instanceof errors.InvalidOption) throw this.#trouble
      if (!this.#wait(deadline)) throw this.away(`NATS was not reached in time${this.#trouble === undefined ? '' : `: ${this.#trouble.message}`}`)
      await this.#sleep(deadline - this.#scheduler.now())
    }
  }

  /** Lets go of everything; what is under way is rejected. */
  async close (): Promise<void> {
    this.#closed = true
    this.#dialer.close()
    const client = this.#client
    this.#lose(client, new Error('it is closed'))
    this.#wake()
    await client?.close()
  }

  /** Resolves while there is a link, or rejects after `deadline`. */
  async reach (deadline: number): Promise<Client> {
    while (this.#client === undefined) {
      if (!this.#wait(deadline)) throw this.away('it was not reached in time')
      await this.#sleep(deadline - this.#scheduler.now())
    }
    return this.#client
  }

  /** Resolves when all that is sent to the subscriptions comes, or rejects after `deadline`. */
  async untilWhole (deadline: number): Promise<void> {
    while (!this.#whole) {
      if (!this.#wait(deadline)) throw this.away('its live link was not there in time')
      await this.#sleep(deadline - this.#scheduler.now())
    }
  }

  /** Sends, on this link or not at all. Throws where there is none, or it is too large for the server. */
  publish (subject: string, payload: string | Uint8Array, options: { headers?: MsgHdrs, reply?: string } = {}): void {
    const client = this.#linked()
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
    await this.#under({ subject }, deadline, (resolve, reject) => {
      for (const payload of payloads) this.publish(subject, payload)
      this.#flush().then(resolve, reject)
    })
  }

  /** Resolves when the server has all that was sent; rejects at once when the link breaks, and after `deadline`. */
  async flush (deadline: number): Promise<void> {
    await this.#under({}, deadline, (resolve, reject) => { this.#flush().then(resolve, reject) })
  }

  /**
   * Asks, and resolves with the first answer. Rejects with `BrokerAway` after `deadline`, and at once where the link
   * breaks, where NATS refuses the subject, and where nobody listens to it: then `cause` is a `NoRespondersError`.
   */
  request (subject: string, payload: string | Uint8Array, options: { headers?: MsgHdrs, deadline: number }): Promise<Msg> {
    return this.#ask(subject, payload, options, (reply, resolve) => resolve(reply))
  }

  /** The same for several answers, in order: resolves when `onReply` has answered that it was the last one, and rejects with what it throws. */
  requestMany (subject: string, payload: string | Uint8Array, { onReply, ...options }: { headers?: MsgHdrs, deadline: number, onReply: (reply: Msg) => boolean }): Promise<void> {
    return this.#ask<void>(subject, payload, options, (reply, resolve) => { if (onReply(reply)) resolve() })
  }

  /** Subscribes, on this link and every later one. Wait for `confirmed`: it is told of there, if NATS refuses it. */
  subscribe (subject: string, onMessage: (message: Msg) => void): Subscription {
    const subscription: Subscription = new Subscription(subject, (message) => { if (this.#settled) onMessage(message) }, {
      confirm: (deadline) => this.#confirm(subscription, deadline),
      takenAway: () => {
        const mends = !this.#whole
        this.#break()
        if (!mends) void this.#mend(this.#client as Client)
      },
      end: () => this.#subscriptions.delete(subscription)
    })
    this.#subscriptions.add(subscription)
    if (this.#client !== undefined) this.#attach(subscription, this.#client)
    return subscription
  }

  /** The error for whoever waited in vain; what was wrong with the link is its cause, and no affair of clients. */
  away (why: string): Error {
    return Object.assign(retryAfter(new errors.BrokerAway(why)), this.#trouble !== undefined && { cause: this.#trouble })
  }

  async #keepConnected (): Promise<void> {
    for (let failures = 0; !this.#closed;) {
      try {
        await this.#serve(await this.#dialer.next())
        failures = 0
      } catch (error) {
        this.#trouble = error as Error
        failures++
        this.#wake()
      }
      // The next of several is tried at once.
      const rounds = Math.floor(failures / this.#dialer.size)
      if (failures === 0 || failures % this.#dialer.size === 0) await this.#sleep(Math.min(PAUSE * 2 ** rounds, LONGEST_PAUSE) * (0.5 + this.#scheduler.random()), () => this.#closed)
    }
  }

  /** Resolves when the link is broken. */
  async #serve (client: Client): Promise<void> {
    if (this.#closed) return await client.close()
    this.#client = client
    this.#trouble = undefined
    this.#inbox = undefined
    this.#settled = false
    void this.#watch(client)
    for (const subscription of this.#subscriptions) this.#attach(subscription, client)
    this.#wake()
    void this.#mend(client)
    const stopPinging = this.#pingLater(client)
    this.#lose(client, (await client.closed() as Error | undefined) ?? new Error('the link broke'))
    stopPinging()
  }

  async #watch (client: Client): Promise<void> {
    for await (const status of client.status()) {
      if (status.type !== 'error' || this.#client !== client) continue
      const { error } = status
      if (!(error instanceof PermissionViolationError)) continue
      const refused = refusal(error)
      const isInbox = this.#inbox !== undefined && error.subject === `${this.#inbox}.*`
      if (isInbox) this.#inbox = undefined
      for (const { subject, asks, reject } of this.#pending) if (isInbox ? asks : error.operation === 'publish' && error.subject === subject) reject(refused)
    }
  }

  #attach (subscription: Subscription, client: Client): void {
    subscription.attach(client, () => this.#client === client)
  }

  /** Until every subscription is there. */
  async #mend (client: Client): Promise<void> {
    while (this.#client === client && !this.#whole) {
      await this.#flush().catch(() => {})
      await this.#spread(client)
      if (this.#client !== client) return
      this.#settled = true
      const refused = [...this.#subscriptions].filter(({ missing }) => missing)
      if (refused.length === 0) {
        this.#whole = true
        this.#wake()
        this.#events.connected()
        return
      }
      this.#trouble = refused[0]?.refused
      await this.#sleep(AGAIN, () => this.#client !== client)
      if (this.#client === client) for (const subscription of refused) if (this.#subscriptions.has(subscription)) this.#attach(subscription, client)
    }
  }

  async #confirm (subscription: Subscription, deadline: number): Promise<void> {
    for (;;) {
      const client = await this.reach(deadline)
      try {
        await this.flush(deadline)
      } catch (error) {
        if (this.#client === client) throw error
        continue
      }
      if (subscription.refused !== undefined) throw subscription.refused
      await this.#spread(client)
      if (this.#client === client) return
    }
  }

  #linked (): Client {
    if (this.#client === undefined) throw this.away('there is no link to NATS')
    return this.#client
  }

  #ask<T> (subject: string, payload: string | Uint8Array, { headers, deadline }: { headers?: MsgHdrs, deadline: number }, onReply: (reply: Msg, resolve: (value: T) => void) => void): Promise<T> {
    const token = (++this.#requests).toString(36)
    return this.#under<T>({ subject, asks: true }, deadline, (resolve, reject) => {
      this.#replies.set(token, (reply) => {
        if (reply.data.length === 0 && reply.headers?.code === 503) {
          reject(Object.assign(this.away(`nobody answers on ${subject}`), { cause: new NoRespondersError(subject) }))
          return
        }
        try {
          onReply(reply, resolve)
        } catch (error) {
          reject(error as Error)
        }
      })
      this.publish(subject, payload, { reply: `${this.#openInbox(this.#linked())}.${token}`, ...(headers !== undefined && { headers }) })
    }, () => this.#replies.delete(token))
  }

  #openInbox (client: Client): string {
    if (this.#inbox === undefined) {
      const inbox = this.#inbox = createInbox()
      client.subscribe(`${inbox}.*`, { callback: (error, reply) => { if (error === null) this.#replies.get(reply.subject.slice(inbox.length + 1))?.(reply) } })
    }
    return this.#inbox
  }

  /** One PING for all that is sent in this turn of the event loop. What NATS refuses comes before its answer, and is told within that turn. */
  #flush (): Promise<void> {
    const client = this.#linked()
    this.#flushed ??= this.#turn().then(() => {
      this.#flushed = undefined
      return client.flush()
    }).then(() => this.#turn())
    return this.#flushed
  }

  async #spread (client: Client): Promise<void> {
    if (this.#client === client && client.info?.cluster !== undefined) await this.#sleep(SPREAD, () => this.#client !== client)
  }

  #turn (): Promise<void> {
    return new Promise((resolve) => this.#scheduler.soon(resolve))
  }

  /** Runs `work`, unless the link breaks, NATS refuses `subject`, or the deadline passes; and then `ended`. */
  #under<T = void> ({ subject, asks = false }: { subject?: string, asks?: boolean }, deadline: number, work: (resolve: (value: T) => void, reject: (error: Error) => void) => void, ended?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#pending.delete(pending)
        ended?.()
      }
      const pending: Pending = {
        subject,
        asks,
        deadline,
        reject: (error) => {
          end()
          reject(error)
        }
      }
      this.#pending.add(pending)
      this.#alarmAt(deadline)
      try {
        work((value) => {
          end()
          resolve(value)
        }, pending.reject)
      } catch (error) {
        pending.reject(error as Error)
      }
    })
  }

  /** One timer for all deadlines: few are not kept, and most are later than the one that it is set to. */
  #alarmAt (deadline: number): void {
    if (deadline >= this.#alarm) return
    this.#cancelAlarm()
    this.#alarm = deadline
    // In a turn that was late, timers come before what was read: what has been answered meanwhile was in time.
    this.#cancelAlarm = this.#scheduler.after(deadline - this.#scheduler.now(), () => this.#scheduler.soon(() => {
      this.#alarm = Infinity
      const now = this.#scheduler.now()
      for (const { deadline, reject } of this.#pending) {
        if (deadline <= now) reject(this.away('it did not answer in time'))
        else this.#alarmAt(deadline)
      }
    }))
  }

  #pingLater (client: Client): () => void {
    let cancel: () => void
    const ping = (): void => {
      if (client.info !== undefined) this.#dialer.learn(client.info)
      const before = client.stats().inBytes
      this.#silences.race(client.flush(), () => new Error(`no answer within ${SILENCE} ms`)).catch((error: Error) => {
        // Its answer waits behind all that comes meanwhile; the next ping will tell.
        if (client.stats().inBytes === before) this.#lose(client, error)
      })
      cancel = this.#scheduler.after(PING, ping)
    }
    cancel = this.#scheduler.after(PING, ping)
    return () => cancel()
  }

  #break (): void {
    this.#whole = false
    if (!this.#closed) this.#events.disconnected()
  }

  /** The link is no more, or is given up: nobody waits for the other side. */
  #lose (client: Client | undefined, error: Error): void {
    if (client === undefined || this.#client !== client) return
    this.#client = undefined
    this.#flushed = undefined
    this.#trouble = error
    this.#break()
    for (const { reject } of this.#pending) reject(this.away('the link to NATS broke'))
    void client.close()
    this.#wake()
  }

  #wait (deadline: number): boolean {
    return !this.#closed && this.#scheduler.now() < deadline
  }

  #wake (): void {
    for (const wake of [...this.#wakes]) wake()
  }

  /** Waits for `delay` ms, or until something has changed (and `enough`). */
  async #sleep (delay: number, enough = () => true): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel()
        this.#wakes.delete(wake)
        resolve()
      }
      const wake = (): void => { if (enough()) end() }
      const cancel = this.#scheduler.after(delay, end)
      this.#wakes.add(wake)
    })
  }
}

import type { Member } from '../../types/index.js'
import type { Cursor } from '../cursor.js'
import type { FanOutError } from '../errors.js'
import type { Batch } from '../message.js'
import type { Abortable } from '../rooms/catch-up.js'
import type { Sink, Subscribed, Subscriber } from '../rooms/subscriber.js'
import type { ClientFrame } from './frames.js'
import type { WebSocketConnection } from './websocket.js'
import { formatCursor } from '../cursor.js'
import { asFanOutError, errors } from '../errors.js'
import { publisherOf } from '../access.js'
import { textFrame } from './frames.js'

// One for all rooms in which nothing is under way.
const IDLE = Promise.resolve()

type Frame<Type extends ClientFrame['type']> = Extract<ClientFrame, { type: Type }>

/** Subscribes under way: an `AbortController`, of which the platform's would cost more than all else of a subscribe. */
class Pending implements Abortable {
  subscribes = 0
  aborted = false

  throwIfAborted (): void {
    if (this.aborted) throw new errors.Cancelled()
  }
}

/**
 * One room on one WebSocket: obeys the frames for it one after the other, and is where the room writes to. It is
 * forgotten when nothing is subscribed and nothing under way.
 */
export class WebSocketRoom implements Sink {
  readonly name: string
  readonly #connection: WebSocketConnection
  /** Frames under way, one after the other; none of what is here only now and then is kept for a room in which nothing happens. */
  #queue: Promise<void> | undefined
  #underWay = 0
  /** The subscribes under way, which an unsubscribe cancels all together. */
  #pending: Pending | undefined
  /** How many unsubscribes are under way: it may wait for a publish before it. */
  #leaving = 0
  #joined: Subscriber | undefined
  #subscriber: Subscriber | undefined
  /** Of the last subscribe: its reference, and whether it asked for the presence too. */
  #ref: ClientFrame['ref']
  #withPresence = false
  /** What ends with the subscription, or with the attempt: its part in the presence. */
  #ends: Array<() => void> | undefined

  constructor (name: string, connection: WebSocketConnection) {
    this.name = name
    this.#connection = connection
  }

  /** Whether it counts against the rooms that a connection may have. */
  get wanted (): boolean {
    return this.#pending !== undefined || (this.#joined !== undefined && this.#leaving === 0)
  }

  subscribe (frame: Frame<'subscribe'>): void {
    const pending = this.#pending ??= new Pending()
    pending.subscribes++
    this.#enqueue(frame.ref, async () => {
      try {
        pending.throwIfAborted()
        if (this.#joined !== undefined) throw new errors.AlreadySubscribed()
        await this.#subscribe(frame, pending)
      } finally {
        pending.subscribes--
        if (pending.subscribes === 0 && this.#pending === pending) this.#pending = undefined
        if (this.#joined === undefined) this.#leave()
      }
    })
  }

  async #subscribe (frame: Frame<'subscribe'>, pending: Pending): Promise<void> {
    const { rooms, presence } = this.#connection.services
    if (frame.presence === true && presence === undefined) throw new errors.NoPresence()
    let caller
    do {
      caller = this.#connection.caller
      await this.#allow(frame.presence === true)
      // Rights may have been withdrawn, or the connection gone, while the app was asked; or a fresh token come, which is then the one that counts.
      pending.throwIfAborted()
    } while (caller !== this.#connection.caller)
    this.#ref = frame.ref
    this.#withPresence = frame.presence === true
    // Before the subscribe: what happens after its answer is told.
    if (this.#withPresence) await this.#watch()
    const joined = await rooms.subscribe(this.name, this, { since: frame.since, last: frame.replay }, pending)
    // Where the room has ended it meanwhile, there is nothing to hold.
    if (joined.closed) return
    this.#joined = joined
    if (pending.aborted) return this.#leave()
    this.#join()
    if (caller !== this.#connection.caller) await this.review()
  }

  /** Throws where the caller may not have what is asked for. */
  async #allow (presence: boolean): Promise<void> {
    const { caller, services: { access } } = this.#connection
    await access.allow(caller, 'subscribe', this.name)
    if (presence) await access.allow(caller, 'presence', this.name)
  }

  unsubscribe (frame: Frame<'unsubscribe'>): void {
    this.#cancel()
    this.#leaving++
    this.#enqueue(frame.ref, async () => {
      this.#leaving--
      this.#leave()
      this.#connection.send({ type: 'unsubscribed', room: this.name, code: 'FAN_OUT_UNSUBSCRIBED', reason: 'asked for', ref: frame.ref })
    })
  }

  publish (frame: Frame<'publish'>): void {
    this.#enqueue(frame.ref, async () => {
      const { access, api } = this.#connection.services
      const { caller } = this.#connection
      await access.allow(caller, 'publish', this.name)
      const { text, idempotencyKey } = frame
      const { id, duplicate } = await api.publishText({ room: this.name, text, idempotencyKey }, publisherOf(caller))
      this.#connection.send({ type: 'published', room: this.name, id, ...(duplicate && { duplicate }), ref: frame.ref })
    })
  }

  /** The connection's caller has changed: what it may no longer do ends. Its member in the presence is put in another's place. */
  async review (): Promise<void> {
    const joined = this.#joined
    if (joined === undefined) return
    try {
      await this.#allow(this.#withPresence)
      if (this.#joined === joined) this.#join()
    } catch (error) {
      if (this.#joined === joined) this.ended(asFanOutError(error))
    }
  }

  /** The server ends the subscription, or the subscribe under way. */
  ended (error: FanOutError): void {
    if (this.#joined === undefined && this.#pending === undefined) return
    this.close()
    // After the answers to what it has cancelled.
    this.#enqueue(undefined, async () => {
      this.#connection.send({ type: 'unsubscribed', room: this.name, code: error.code, reason: error.message })
    })
  }

  /** The connection is gone. */
  close (): void {
    this.#cancel()
    this.#leave()
  }

  #cancel (): void {
    if (this.#pending !== undefined) this.#pending.aborted = true
    this.#pending = undefined
  }

  subscribed ({ id, recovered, replayed }: Subscribed, subscriber: Subscriber): void {
    this.#subscriber = subscriber
    this.#connection.send({ type: 'subscribed', room: this.name, id: formatCursor(id), recovered, replayed, ref: this.#ref })
  }

  write (batch: Batch, live: boolean): boolean {
    return this.#connection.write(batch.encode(this.#connection.format), live, this)
  }

  snapshot (id: Cursor, text: string): boolean {
    return this.#connection.write(textFrame(`{"type":"snapshot","room":${JSON.stringify(this.name)},"id":"${formatCursor(id)}","data":${text}}`), false, this)
  }

  ready (): boolean {
    return this.#connection.ready(this)
  }

  /** The socket takes more. */
  resume (): void {
    this.#subscriber?.resume()
  }

  #enqueue (ref: ClientFrame['ref'], task: () => Promise<void>): void {
    this.#underWay++
    this.#connection.underWay(1)
    this.#queue = (this.#queue ?? IDLE).then(() => this.#obey(task, ref))
  }

  async #obey (task: () => Promise<void>, ref: ClientFrame['ref']): Promise<void> {
    try {
      await task()
    } catch (error) {
      this.#connection.fail(error, ref, this.name)
    }
    this.#underWay--
    if (this.#underWay === 0) this.#queue = undefined
    this.#connection.underWay(-1)
    this.#forgetIfIdle()
  }

  #forgetIfIdle (): void {
    if (this.#underWay === 0 && !this.wanted) this.#connection.rooms.delete(this.name)
  }

  #leave (): void {
    this.#joined?.leave()
    this.#joined = undefined
    this.#subscriber = undefined
    const ends = this.#ends ?? []
    this.#ends = undefined
    for (const end of ends) end()
  }

  #join (): void {
    const { presence } = this.#connection.services
    if (presence !== undefined) (this.#ends ??= []).push(presence.join(this.name, this.#connection.member))
  }

  async #watch (): Promise<void> {
    const own = this.#connection.id
    const tell = (type: 'join' | 'leave', member: Member): void => {
      if (this.#subscriber !== undefined && member.connection !== own) this.#connection.send({ type, room: this.name, member })
    }
    const end = await this.#connection.services.presence?.watch(this.name, tell)
    if (end !== undefined) (this.#ends ??= []).push(end)
  }
}

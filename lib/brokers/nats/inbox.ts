import type { NatsConnection as Client, Msg, MsgHdrs, Subscription } from '@nats-io/transport-node'
import type { Pending, Settle } from './pending.js'
import { createInbox, NoRespondersError } from '@nats-io/transport-node'
import { errors } from '../../errors.js'

export interface Question { payload: string | Uint8Array, headers?: MsgHdrs | undefined }

interface Owner {
  /** Throws where there is no link. */
  linked (): Client
  /** Throws `TooLarge` where the server takes no such message. */
  publish (subject: string, payload: string | Uint8Array, options: { headers?: MsgHdrs, reply: string }): void
  away (why: string): Error
}

/** Where answers come, each to its question: one subscription for all of a link, made when it is first needed. */
export class Inbox {
  readonly #pending: Pending
  readonly #owner: Owner
  readonly #asked = new Map<string, (reply: Msg, place: number) => void>()
  #subject: string | undefined
  #subscription: Subscription | undefined
  /** Whether an answer has come on it. */
  #taken = false
  #count = 0

  constructor (pending: Pending, owner: Owner) {
    this.#pending = pending
    this.#owner = owner
  }

  /** There is another link. */
  reset (): void {
    this.#subject = undefined
    this.#taken = false
  }

  /** Whether it may be what NATS does not take; the next question is tried on another. */
  refuseUntaken (): boolean {
    if (this.#subject === undefined || this.#taken) return false
    this.#subscription?.unsubscribe()
    this.reset()
    return true
  }

  /** Whether this is what NATS refuses to send; the next question is tried on another. */
  isRefused (subject: string): boolean {
    if (this.#subject === undefined || subject !== `${this.#subject}.*`) return false
    this.reset()
    return true
  }

  /**
   * Asks, all at once, and takes the answers, each with the place of its question, until `onAnswer` settles it. That is an
   * error where nobody listens to `subject`, or the question is too large.
   */
  ask<T> (subject: string, questions: readonly Question[], deadline: number, onAnswer: (answer: Msg | Error, place: number, settle: Settle<T>) => void): Promise<T> {
    const token = (++this.#count).toString(36)
    return this.#pending.add<T>({ subject, asks: true }, deadline, (settle) => {
      this.#asked.set(token, (reply, place) => {
        const isSilence = reply.data.length === 0 && reply.headers?.code === 503
        onAnswer(isSilence ? Object.assign(this.#owner.away(`nobody answers on ${subject}`), { cause: new NoRespondersError(subject) }) : reply, place, settle)
      })
      const reply = `${this.#open(this.#owner.linked())}.${token}-`
      for (const [place, { payload, headers }] of questions.entries()) {
        try {
          this.#owner.publish(subject, payload, { reply: reply + place, ...(headers !== undefined && { headers }) })
        } catch (error) {
          if (!(error instanceof errors.TooLarge)) throw error
          onAnswer(error, place, settle)
        }
      }
    }, () => this.#asked.delete(token))
  }

  #open (client: Client): string {
    if (this.#subject === undefined) {
      const subject = this.#subject = createInbox()
      this.#subscription = client.subscribe(`${subject}.*`, {
        callback: (error, reply) => {
          if (error !== null) return
          this.#taken ||= subject === this.#subject
          const dash = reply.subject.indexOf('-', subject.length)
          this.#asked.get(reply.subject.slice(subject.length + 1, dash))?.(reply, Number(reply.subject.slice(dash + 1)))
        }
      })
    }
    return this.#subject
  }
}

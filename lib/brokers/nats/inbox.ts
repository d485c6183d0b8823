import type { NatsConnection as Client, Msg, MsgHdrs } from '@nats-io/transport-node'
import type { Pending } from './pending.js'
import { createInbox, NoRespondersError } from '@nats-io/transport-node'

interface Owner {
  /** Throws where there is no link. */
  linked (): Client
  publish (subject: string, payload: string | Uint8Array, options: { headers?: MsgHdrs, reply: string }): void
  away (why: string): Error
}

/** Where answers come, each to its question: one subscription for all of a link, made when it is first needed. */
export class Inbox {
  readonly #pending: Pending
  readonly #owner: Owner
  readonly #questions = new Map<string, (reply: Msg) => void>()
  #subject: string | undefined
  #count = 0

  constructor (pending: Pending, owner: Owner) {
    this.#pending = pending
    this.#owner = owner
  }

  /** There is another link. */
  reset (): void {
    this.#subject = undefined
  }

  /** Whether this is what NATS refuses to send; the next question is tried on another. */
  isRefused (subject: string): boolean {
    if (this.#subject === undefined || subject !== `${this.#subject}.*`) return false
    this.reset()
    return true
  }

  /** Asks, until `onReply` resolves; rejects with what that throws, and where nobody listens to `subject`. */
  ask<T> (subject: string, payload: string | Uint8Array, { headers, deadline }: { headers?: MsgHdrs, deadline: number }, onReply: (reply: Msg, resolve: (value: T) => void) => void): Promise<T> {
    const token = (++this.#count).toString(36)
    return this.#pending.add<T>({ subject, asks: true }, deadline, (resolve, reject) => {
      this.#questions.set(token, (reply) => {
        if (reply.data.length === 0 && reply.headers?.code === 503) {
          reject(Object.assign(this.#owner.away(`nobody answers on ${subject}`), { cause: new NoRespondersError(subject) }))
          return
        }
        try {
          onReply(reply, resolve)
        } catch (error) {
          reject(error as Error)
        }
      })
      this.#owner.publish(subject, payload, { reply: `${this.#open(this.#owner.linked())}.${token}`, ...(headers !== undefined && { headers }) })
    }, () => this.#questions.delete(token))
  }

  #open (client: Client): string {
    if (this.#subject === undefined) {
      const subject = this.#subject = createInbox()
      client.subscribe(`${subject}.*`, { callback: (error, reply) => { if (error === null) this.#questions.get(reply.subject.slice(subject.length + 1))?.(reply) } })
    }
    return this.#subject
  }
}

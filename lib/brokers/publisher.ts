import type { Scheduler } from '../scheduler.js'
import type { Outgoing, Published } from './broker.js'
import { Deadlines } from '../deadlines.js'
import { errors, retryAfter } from '../errors.js'

/** A message that waits to be published, or is under way. */
export interface Pending extends Outgoing {
  /** The same at every try: it is how a try finds what an earlier one did. */
  token: string
  deadline: number
  /** Why it could not be acknowledged yet, where more is known than that there was no answer. */
  why?: string
  /** Settles it, once; later calls are ignored. */
  settle (result: Published | Error): void
}

// Of one call, so that a script does not hold up everybody else.
const MESSAGES = 200
const BYTES = 1024 * 1024

/**
 * Sends the messages of a room in the order in which they were handed over: one call at a time, which takes along all
 * that came during the last. So order does not depend on how calls fail, and the busier a room is the less each message costs.
 */
export class Publisher {
  readonly #send: (room: string, batch: readonly Pending[]) => Promise<Array<Published | Error>>
  readonly #scheduler: Scheduler
  readonly #timeout: number
  readonly #deadlines: Deadlines
  readonly #queues = new Map<string, Pending[]>()
  readonly #instance: string
  #count = 0

  /** `instance` is unique to this server and start; `send` never rejects, and gives up at the last of the deadlines. */
  constructor (instance: string, timeout: number, scheduler: Scheduler, send: (room: string, batch: readonly Pending[]) => Promise<Array<Published | Error>>) {
    this.#instance = instance
    this.#timeout = timeout
    this.#deadlines = new Deadlines(timeout, scheduler)
    this.#scheduler = scheduler
    this.#send = send
  }

  /** Publishes a message; answers an error at the latest when the publish timeout is over. */
  publish (message: Outgoing): Promise<Published | Error> {
    return new Promise((resolve) => {
      const waiting = this.#deadlines.begin(() => {
        const why = pending.why ?? 'it did not answer; whether the message was published is not known'
        resolve(retryAfter(new errors.BrokerAway(`within ${this.#timeout} ms ${why}`)))
      })
      const settle = (result: Published | Error): void => {
        this.#deadlines.end(waiting)
        resolve(result)
      }
      const { room, text, idempotencyKey } = message
      const pending: Pending = { room, text, idempotencyKey, token: `${this.#instance}-${(++this.#count).toString(36)}`, deadline: waiting.until, settle }
      const queue = this.#queues.get(message.room)
      if (queue !== undefined) queue.push(pending)
      else {
        this.#queues.set(message.room, [pending])
        // What is published in this turn goes together.
        queueMicrotask(() => { void this.#work(message.room) })
      }
    })
  }

  async #work (room: string): Promise<void> {
    const queue = this.#queues.get(room) as Pending[]
    while (queue.length > 0) {
      const now = this.#scheduler.now()
      let bytes = 0
      let count = 0
      while (count < queue.length && count < MESSAGES && (count === 0 || bytes + queue[count]!.text.length <= BYTES)) bytes += queue[count++]!.text.length
      // Whoever was told that it is too late is not published after all.
      const batch = queue.splice(0, count).filter(({ deadline }) => deadline > now)
      if (batch.length === 0) continue
      const results = await this.#send(room, batch)
      for (const [i, pending] of batch.entries()) pending.settle(results[i] as Published | Error)
    }
    this.#queues.delete(room)
  }
}

import type { Scheduler } from './scheduler.js'

/** Something that is waited for, until it ends in time or is given up. */
export interface Waiting {
  readonly until: number
  readonly expired: () => void
}

/**
 * Deadlines that all have the same length, so that they run out in the order in which they began: one timer serves them
 * all, and one that is kept in time costs no more than its place in the queue.
 */
export class Deadlines {
  readonly #timeout: number
  readonly #scheduler: Scheduler
  readonly #waiting = new Set<Waiting>()
  #armed = false

  /** `timeout` in ms. */
  constructor (timeout: number, scheduler: Scheduler) {
    this.#timeout = timeout
    this.#scheduler = scheduler
  }

  /** Calls `expired` when the time is over, unless it is ended before. */
  begin (expired: () => void): Waiting {
    const waiting = { until: this.#scheduler.now() + this.#timeout, expired }
    this.#waiting.add(waiting)
    if (!this.#armed) this.#arm(this.#timeout)
    return waiting
  }

  end (waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  /** `work`, or a rejection with what `late` answers. */
  race<T> (work: Promise<T>, late: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting = this.begin(() => reject(late()))
      work.then((value) => {
        this.#waiting.delete(waiting)
        resolve(value)
      }, (error: Error) => {
        this.#waiting.delete(waiting)
        reject(error)
      })
    })
  }

  #arm (delay: number): void {
    this.#armed = true
    this.#scheduler.after(delay, () => this.#scheduler.soon(() => {
      // In a turn that was late, timers come before what was read: what has been answered meanwhile was in time.
      this.#armed = false
      const now = this.#scheduler.now()
      for (const waiting of this.#waiting) {
        if (waiting.until > now) return this.#arm(waiting.until - now)
        this.#waiting.delete(waiting)
        waiting.expired()
      }
    }))
  }
}

import type { Scheduler } from '../../scheduler.js'

interface Waiting {
  /** What it published to, and whether it waits for an answer on the inbox. */
  subject: string | undefined
  asks: boolean
  deadline: number
  reject (error: Error): void
}

/** Ends a wait. What comes later is ignored. */
export interface Settle<T> {
  resolve (value: T): void
  reject (error: Error): void
}

/** What waits for the other side. */
export class Pending {
  readonly #scheduler: Scheduler
  readonly #away: (why: string) => Error
  readonly #waiting = new Set<Waiting>()
  /** The deadline that a timer is set to. */
  #alarm = Infinity
  #cancelAlarm = (): void => {}

  /** `away` makes the error for whoever waited in vain. */
  constructor (scheduler: Scheduler, away: (why: string) => Error) {
    this.#scheduler = scheduler
    this.#away = away
  }

  /** Runs `work` until it resolves, or rejects, or is rejected here, or the deadline passes; and then `ended`. */
  add<T = void> ({ subject, asks = false }: { subject?: string, asks?: boolean }, deadline: number, work: (settle: Settle<T>) => void, ended?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(waiting)
        ended?.()
      }
      const waiting: Waiting = {
        subject,
        asks,
        deadline,
        reject: (error) => {
          end()
          reject(error)
        }
      }
      this.#waiting.add(waiting)
      this.#alarmAt(deadline)
      try {
        work({
          resolve: (value) => {
            end()
            resolve(value)
          },
          reject: waiting.reject
        })
      } catch (error) {
        waiting.reject(error as Error)
      }
    })
  }

  /** Rejects whoever published to `subject`. */
  refuse (subject: string, error: Error): void {
    for (const waiting of this.#waiting) if (waiting.subject === subject) waiting.reject(error)
  }

  /** Rejects whoever waits for an answer. */
  refuseAnswers (error: Error): void {
    for (const { asks, reject } of this.#waiting) if (asks) reject(error)
  }

  /** Rejects all, each with an error of its own. */
  fail (why: string): void {
    for (const { reject } of this.#waiting) reject(this.#away(why))
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
      for (const { deadline, reject } of this.#waiting) {
        if (deadline <= now) reject(this.#away('it did not answer in time'))
        else this.#alarmAt(deadline)
      }
    }))
  }
}

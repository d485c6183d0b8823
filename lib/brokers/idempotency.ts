import { errors, retryAfter } from '../errors.js'

/**
 * The keys of publishes accepted within the last `ttl` ms, with what each was answered. It never forgets a key early:
 * when it holds `capacity` keys, a further one is refused until the oldest has run out.
 */
export class IdempotencyKeys<Answer> {
  readonly #ttl: number
  readonly #capacity: number
  readonly #now: () => number
  readonly #accepted = new Map<string, { answer: Answer, expires: number }>()
  /**
   * The keys in the order of acceptance, and so of expiry, from `#oldest` on. The map has that order too, but to find its
   * first entry it walks over all that were deleted before it.
   */
  #order: string[] = []
  #oldest = 0

  constructor (ttl: number, capacity: number, now: () => number) {
    this.#ttl = ttl
    this.#capacity = capacity
    this.#now = now
  }

  get size (): number {
    return this.#accepted.size
  }

  find (key: string): Answer | undefined {
    this.expire()
    return this.#accepted.get(key)?.answer
  }

  /** Throws where no further key fits: call it before anything is published under the key. */
  reserve (): void {
    if (this.#accepted.size < this.#capacity) return
    const oldest = this.#accepted.get(this.#order[this.#oldest] as string)
    throw retryAfter(new errors.TooManyKeys(), oldest === undefined ? 1 : (oldest.expires - this.#now()) / 1000)
  }

  accept (key: string, answer: Answer): void {
    this.#accepted.set(key, { answer, expires: this.#now() + this.#ttl })
    this.#order.push(key)
  }

  expire (): void {
    const now = this.#now()
    for (; this.#oldest < this.#order.length; this.#oldest++) {
      const key = this.#order[this.#oldest] as string
      if (this.#accepted.get(key)!.expires > now) break
      this.#accepted.delete(key)
    }
    if (2 * this.#oldest > this.#order.length) {
      this.#order = this.#order.slice(this.#oldest)
      this.#oldest = 0
    }
  }
}

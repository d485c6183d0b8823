/** A rate with a burst: `rate` a second, sustained, and four times as many at once. */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #filled = performance.now()

  constructor (rate: number) {
    this.#rate = rate
    this.#burst = 4 * rate
    this.#tokens = this.#burst
  }

  /** Takes one at the time `now`, in ms; false where there is none. */
  take (now: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filled) * this.#rate / 1000)
    this.#filled = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

/** When a quiet peer is to be pinged, and when it is dead. */
export class Heartbeat {
  readonly #interval: number
  readonly #timeout: number
  #heard = performance.now()
  #pinged: number | undefined

  /** Both in ms: how long it may be quiet, and how long a ping may go unanswered. */
  constructor ({ interval, timeout }: { interval: number, timeout: number }) {
    this.#interval = interval
    this.#timeout = timeout
  }

  /** Something came from the peer. */
  beat (now: number): void {
    this.#heard = now
    this.#pinged = undefined
  }

  check (now: number): 'alive' | 'ping' | 'dead' {
    if (this.#pinged !== undefined) return now - this.#pinged > this.#timeout ? 'dead' : 'alive'
    if (now - this.#heard <= this.#interval) return 'alive'
    this.#pinged = now
    return 'ping'
  }
}

// Messages whose sequences are remembered; and how far behind the newest one of them an older server may send one.
const RECENT = 256

/** The sequences of what came live: they grow, unless the stream is another one. */
export class Sequences {
  #latest = 0
  readonly #recent = new Map<number, string>()
  readonly #isOrderly: () => boolean

  /** `isOrderly`: whether the server republishes in the order in which it stores (see `Reorder`). */
  constructor (isOrderly: () => boolean) {
    this.#isOrderly = isOrderly
  }

  /**
   * False where a sequence was given before, to another message. What comes again, after the leader changed, is nothing to
   * worry about; nor, from a server that is not orderly, what comes a little late.
   */
  follows (sequence: number, messageId: string): boolean {
    const known = this.#recent.get(sequence)
    const good = known === undefined ? sequence > this.#latest - (this.#isOrderly() ? 0 : RECENT) : known === messageId
    if (!good) {
      this.#latest = 0
      this.#recent.clear()
    }
    this.#latest = Math.max(this.#latest, sequence)
    this.#recent.set(sequence, messageId)
    if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.keys().next().value as number)
    return good
  }

  /** What comes from now on is not held against what came before. */
  forget (): void {
    this.#latest = 0
    this.#recent.clear()
  }
}

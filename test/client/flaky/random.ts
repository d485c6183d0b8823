/** Random numbers that come again with their seed ("mulberry32"). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed
  }

  /** From 0 to below 1. */
  next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  chance (probability: number): boolean { return this.next() < probability }
  upTo (most: number): number { return Math.floor(this.next() * (most + 1)) }
  pick<T> (items: readonly T[]): T { return items[Math.floor(this.next() * items.length)] as T }
}

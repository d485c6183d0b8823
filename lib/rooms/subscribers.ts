import type { Subscriber } from './subscriber.js'

/** Who is subscribed to a room here. Most rooms of most servers have one subscriber, and a set is kept only for more. */
export class Subscribers {
  #only: Subscriber | undefined
  #all: Set<Subscriber> | undefined

  get size (): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1)
  }

  add (subscriber: Subscriber): void {
    if (this.#all === undefined && this.#only === undefined) {
      this.#only = subscriber
      return
    }
    this.#all ??= new Set([this.#only as Subscriber])
    this.#only = undefined
    this.#all.add(subscriber)
  }

  delete (subscriber: Subscriber): void {
    if (this.#only === subscriber) this.#only = undefined
    this.#all?.delete(subscriber)
    if (this.#all?.size === 0) this.#all = undefined
  }

  clear (): void {
    this.#only = this.#all = undefined
  }

  /** All of them, in the order they came. Whoever leaves before its turn is left out. */
  * values (): IterableIterator<Subscriber> {
    if (this.#only !== undefined) yield this.#only
    else if (this.#all !== undefined) yield * this.#all
  }
}

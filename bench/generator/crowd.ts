import type { Listener, Target } from './client.js'
import { Client } from './client.js'

interface Waiting { until: () => boolean, resolve: () => void, reject: (error: Error) => void }

/** Many clients that join, and the messages that come to them. */
export class Crowd implements Listener {
  readonly #clients: Client[] = []
  #coming: Target[] = []
  #joined = 0
  /** The first thing that went wrong: everything that is waited for fails with it. */
  #failure: Error | undefined
  #waiting: Waiting[] = []
  /** Messages, over all clients. */
  received = 0
  /** Called when more have come. */
  progress = (): void => {}
  pong = (): void => {}

  /** Connects a client for each target, no more than `inFlight` of them on their way at a time. */
  async join (targets: Target[], inFlight: number): Promise<void> {
    const all = this.#clients.length + targets.length
    this.#coming = targets.toReversed()
    for (let i = 0; i < inFlight; i++) this.#connectNext()
    await this.wait(() => this.#joined === all)
  }

  #connectNext (): void {
    const target = this.#coming.pop()
    if (target !== undefined) this.#clients.push(new Client(target, this))
  }

  joined (): void {
    this.#joined++
    this.#connectNext()
    this.look()
  }

  messages (count: number): void {
    this.received += count
    this.look()
    this.progress()
  }

  failed = (error: Error): void => {
    this.#failure ??= error
    this.look()
  }

  /** Resolves when it is so, which is looked at each time that something comes. */
  wait (until: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ until, resolve, reject })
      this.look()
    })
  }

  look (): void {
    for (const waiting of this.#waiting) {
      if (this.#failure !== undefined) waiting.reject(this.#failure)
      else if (waiting.until()) waiting.resolve()
      else continue
      this.#waiting = this.#waiting.filter((other) => other !== waiting)
    }
  }

  /** Throws unless each of the last `count` clients has had so many messages, not one more. */
  check (each: number, count = this.#clients.length): void {
    for (const { received } of this.#clients.slice(-count)) if (received !== each) throw new Error(`a client received ${received} messages instead of ${each}`)
  }

  ping (): void {
    this.#clients[0]!.ping()
  }

  close (): void {
    for (const client of this.#clients) client.destroy()
  }
}

import type { RedisClient } from './client.js'
import type { Script } from './script.js'

interface Call {
  script: Script
  keys: readonly string[]
  args: ReadonlyArray<string | number>
  resolve (reply: unknown): void
  reject (error: Error): void
}

// In ms. One's own WAIT and the one under way before it together are less than the time after which a silent link is cut.
const WAIT = 800

/** Redis has carried out the call; too few replicas have heard of it yet. */
export class TooFewReplicas extends Error {}

/**
 * Calls scripts, and answers when enough replicas have what they wrote. `WAIT` counts for all that its connection wrote
 * before, and blocks it: so one round is under way at a time, and all calls that came meanwhile share the next one's.
 */
export class Replicas {
  readonly #count: number
  /** By node, the calls that wait for the round under way. */
  readonly #waiting = new Map<string, Call[]>()

  constructor (count: number) {
    this.#count = count
  }

  async run<T> (client: RedisClient, node: string, script: Script, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<T> {
    try {
      return await this.#join(client, node, script, keys, args) as T
    } catch (error) {
      const { message } = error as Error
      if (!/^(NOSCRIPT|MOVED|ASK) ?/.test(message)) throw error
      // By itself it is sent whole, or where it belongs, which a pipeline with WAIT is not; the next try finds what it did.
      await script.run(client, keys, args)
      throw new Error(message)
    }
  }

  #join (client: RedisClient, node: string, script: Script, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call: Call = { script, keys, args, resolve, reject }
      const waiting = this.#waiting.get(node)
      if (waiting !== undefined) waiting.push(call)
      else {
        this.#waiting.set(node, [call])
        // What is published in this turn goes together.
        setImmediate(() => { void this.#work(client, node) })
      }
    })
  }

  async #work (client: RedisClient, node: string): Promise<void> {
    const waiting = this.#waiting.get(node) as Call[]
    while (waiting.length > 0) await this.#round(client, waiting.splice(0))
    this.#waiting.delete(node)
  }

  async #round (client: RedisClient, calls: readonly Call[]): Promise<void> {
    try {
      const pipeline = client.pipeline()
      for (const { script, keys, args } of calls) script.add(pipeline, keys, args)
      pipeline.wait(this.#count, WAIT)
      const replies = await pipeline.exec() ?? []
      const [failed, had] = replies[calls.length] ?? [new Error('no answer')]
      for (const [i, { resolve, reject }] of calls.entries()) {
        const [error, reply] = replies[i] ?? [failed]
        if (error != null || failed != null) reject((error ?? failed) as Error)
        else if (Number(had) >= this.#count) resolve(reply)
        else reject(new TooFewReplicas(`${Number(had)} of ${this.#count} replicas had it; it may be published all the same: try again under the same idempotency key`))
      }
    } catch (error) {
      for (const { reject } of calls) reject(error as Error)
    }
  }
}

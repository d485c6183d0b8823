import type { RedisClient, RedisPipeline } from './client.js'
import { createHash } from 'node:crypto'

/** A Lua script, sent by its hash; whole only to a Redis that does not know it yet. */
export class Script {
  readonly #text: string
  readonly #hash: string

  constructor (text: string) {
    this.#text = text
    this.#hash = createHash('sha1').update(text).digest('hex')
  }

  async run<T> (client: RedisClient, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<T> {
    try {
      return await client.evalsha(this.#hash, keys.length, ...keys, ...args) as T
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return await client.eval(this.#text, keys.length, ...keys, ...args) as T
    }
  }

  /** For a Redis that knows it already. */
  add (pipeline: RedisPipeline, keys: readonly string[], args: ReadonlyArray<string | number>): void {
    pipeline.evalsha(this.#hash, keys.length, ...keys, ...args)
  }
}

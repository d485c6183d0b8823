import type { Entrant } from './contestants/index.js'
import type { Measured, Workload } from './workloads/workload.js'
import { Redis } from 'ioredis'
import { Child } from './ipc.js'
import { Load } from './load.js'

export interface Times {
  /** Both in ms. */
  warmUp: number
  duration: number
}

/** What all measurements share: one Redis, which each finds empty, and one NATS, of which each has an empty one. */
export class Bench {
  readonly #redis: Child<{ url: string }>
  readonly #client: Redis
  /** Once it is asked for. */
  #nats: Promise<Child<object>> | undefined

  private constructor (redis: Child<{ url: string }>) {
    this.#redis = redis
    this.#client = new Redis(redis.ready.url)
  }

  static async start (): Promise<Bench> {
    return new Bench(await Child.start(new URL('servers/redis.ts', import.meta.url)))
  }

  async stop (): Promise<void> {
    this.#client.disconnect()
    await this.#redis.ask({ ask: 'end' })
    await this.#redis.stop()
    const nats = await this.#nats
    await nats?.ask({ ask: 'end' })
    await nats?.stop()
  }

  async #empty (broker: Entrant['broker']): Promise<{ redis?: string, nats?: string }> {
    if (broker === undefined) return {}
    if (broker === 'redis') {
      await this.#client.flushall()
      return { redis: this.#redis.ready.url }
    }
    const nats = await (this.#nats ??= Child.start(new URL('servers/nats.ts', import.meta.url)))
    const url: string = await nats.ask({ ask: 'start' })
    return { nats: url.replace('nats', broker) }
  }

  /** One measurement, on processes of its own, which are gone when it resolves. */
  async measure (workload: Workload, size: number, { contestant, broker }: Entrant, times: Times): Promise<Measured> {
    const started: Array<Promise<{ stop (): Promise<void> }>> = []
    const start = <T extends { stop (): Promise<void> }>(starting: Promise<T>): Promise<T> => {
      started.push(starting)
      return starting
    }
    const anotherLoad = async (): Promise<Load> => await start(Load.start())
    try {
      const shared = await this.#empty(broker)
      // All at once: most of what a short measurement takes is the start of its processes.
      const servers = start(contestant.start({ ...shared, servers: workload.servers?.(size) ?? 1 }))
      const [running, load] = await Promise.all([servers, anotherLoad()])
      return await workload.run({ running, load, redis: shared.redis === undefined ? undefined : this.#client, size, ...times, anotherLoad })
    } finally {
      await Promise.all((await Promise.allSettled(started)).map(async (one) => { if (one.status === 'fulfilled') await one.value.stop() }))
    }
  }
}

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

/** What all measurements share: one Redis, which each finds empty. */
export class Bench {
  readonly #redis: Child<{ url: string }>
  readonly #client: Redis

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
  }

  /** One measurement, on processes of its own, which are gone when it resolves. */
  async measure (workload: Workload, size: number, { contestant, redis }: Entrant, times: Times): Promise<Measured> {
    const started: Array<Promise<{ stop (): Promise<void> }>> = []
    const start = <T extends { stop (): Promise<void> }>(starting: Promise<T>): Promise<T> => {
      started.push(starting)
      return starting
    }
    const anotherLoad = async (): Promise<Load> => await start(Load.start())
    try {
      if (redis) await this.#client.flushall()
      // All at once: most of what a short measurement takes is the start of its processes.
      const servers = start(contestant.start({ ...(redis && { redis: this.#redis.ready.url }), servers: workload.servers?.(size) ?? 1 }))
      const [running, load] = await Promise.all([servers, anotherLoad()])
      return await workload.run({ running, load, redis: redis ? this.#client : undefined, size, ...times, anotherLoad })
    } finally {
      await Promise.all((await Promise.allSettled(started)).map(async (one) => { if (one.status === 'fulfilled') await one.value.stop() }))
    }
  }
}

import type { Entrant } from './contestants/index.js'
import type { Measured, Workload } from './workloads/workload.js'
import { RedisServer } from '../test/redis-server.js'
import { Load } from './load.js'

export interface Times {
  /** Both in ms. */
  warmUp: number
  duration: number
}

/** One measurement, on processes of its own, which are gone when it resolves. */
export async function measure (workload: Workload, size: number, { contestant, redis: onRedis }: Entrant, times: Times): Promise<Measured> {
  const teardowns: Array<() => unknown> = []
  const loads: Load[] = []
  const anotherLoad = async (): Promise<Load> => {
    const load = await Load.start()
    loads.push(load)
    return load
  }
  try {
    const redis = onRedis ? await RedisServer.start({ teardown: (end: () => unknown) => { teardowns.push(end) } }) : undefined
    const [running, load] = await Promise.all([
      contestant.start({ ...(redis !== undefined && { redis: redis.url }), servers: workload.servers?.(size) ?? 1 }),
      anotherLoad()
    ])
    teardowns.push(() => running.stop())
    return await workload.run({ running, load, redis, size, ...times, anotherLoad })
  } finally {
    // The clients first: that is a closing that servers know.
    for (const load of loads) await load.stop()
    for (const end of teardowns.reverse()) await end()
  }
}

import type { Test } from 'tap'
import type { FanOutOptions, RedisClient } from '../../index.js'
import { Cluster } from 'ioredis-5'
import { RedisCluster } from '../redis-cluster.js'
import { Stage } from './stage.js'

/** Servers on a Cluster, one by its URL, one by a client of ioredis 5, and listeners in rooms all over its slots. */
export async function startOnCluster (t: Test, brokerOptions: FanOutOptions['brokerOptions'] = {}): Promise<{ cluster: RedisCluster, stage: Stage }> {
  const cluster = await RedisCluster.start(t)
  const given = new Cluster(cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port })), { lazyConnect: true }) as unknown as RedisClient
  return { cluster, stage: await Stage.start(t, { servers: [cluster.url, given].map((broker) => ({ broker, brokerOptions })), rooms: 9, listeners: 36 }) }
}

export const keyOf = (room: string): string => `fan-out:1:{${room}}:m`

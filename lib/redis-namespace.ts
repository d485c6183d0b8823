import type { FastifyInstance } from 'fastify'
import type { RedisClient } from './brokers/redis/client.js'

/**
 * Registers @fastify/redis for the connection that we opened for a URL, under a namespace of its own. In a scope of its own
 * as well: an app that has @fastify/redis, registered before us, finds the connection in its `app.redis`, and one that
 * registers it later can still do so without a namespace, which @fastify/redis refuses once there is a `redis`.
 *
 * The connection must be ready, since it is what @fastify/redis waits for, and no plugin can be registered once the app has
 * started: with `brokerOptions.start: 'background'`, a Redis that is away at the start stays without its name. It is ours
 * to close, after the last message.
 */
export async function nameRedis (app: FastifyInstance, namespace: string, client: RedisClient): Promise<void> {
  const { default: fastifyRedis } = await import('@fastify/redis')
  // One client can be the `redis` of several apps.
  if (app.redis?.[namespace] !== undefined) return
  await app.register(async (scope) => {
    await scope.register(fastifyRedis, { namespace, client: client as never })
  })
}

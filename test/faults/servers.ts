import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { RedisServer } from '../redis-server.js'
import type { Place } from './listener.js'
import { startApp } from '../helpers.js'
import { NatsReader } from './nats-proxy.js'
import { Proxy } from './proxy.js'

// Subjects of what is sent to rooms, on NATS, where the prefix is what it is by default.
const MESSAGES = /^fan-out\.(?:live|core)\./

/** A server of a stage. */
export interface StageServer extends Place {
  publish (room: string, text: string): Promise<{ id: string }>
  /** Where it reaches its broker through one. */
  proxy?: Proxy | undefined
  /** It takes no more publishes. */
  dead?: boolean
}

/** An app in this process. */
export async function stageServer (t: Pick<Test, 'teardown'>, options: FanOutOptions, proxy?: Proxy): Promise<StageServer & { app: FastifyInstance }> {
  const { app, url } = await startApp(t, { history: { size: 100_000 }, ...options })
  return { app, url, proxy, publish: async (room, text) => await app.rooms.publish(room, text) }
}

/** Servers on one broker, each behind a proxy of its own. */
export async function behindProxies (t: Pick<Test, 'teardown'>, port: number, { servers = 2, options = {} as FanOutOptions, user = '', scheme = 'redis' } = {}): Promise<StageServer[]> {
  return await Promise.all(Array.from({ length: servers }, async () => {
    const proxy = await Proxy.start(t, port, scheme.startsWith('nats') ? () => new NatsReader(MESSAGES) : undefined)
    return await stageServer(t, { broker: `${scheme}://${user === '' ? '' : `${user}@`}127.0.0.1:${proxy.port}`, ...options }, proxy)
  }))
}

/** A function that says how many of the links that subscribe now Redis has closed: not how many there are, since a server that waits for long opens another. */
export async function cutOffs (redis: RedisServer): Promise<() => Promise<number>> {
  const links = async (): Promise<string[]> => String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).split('\n').filter(Boolean).map((line) => line.split(' ')[0]!)
  const before = await links()
  return async () => {
    const now = await links()
    return before.filter((id) => !now.includes(id)).length
  }
}

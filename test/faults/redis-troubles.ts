import type { Arena, Trouble, World } from './troubles.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Proxy } from './proxy.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'
import { links, one, proxyOf } from './troubles.js'

/** With a replica, behind another proxy. */
interface RedisWorld extends World {
  redis: RedisServer
  /** As long as there is one. */
  replica: RedisServer | undefined
  link: Proxy
}

/** Of a Redis that may have been a replica, and is none any more. */
async function start (redis: RedisServer): Promise<void> {
  await redis.start('--replicaof', 'no', 'one')
}

async function promote (world: RedisWorld): Promise<void> {
  const { redis, stage, replica } = world
  await redis.kill()
  world.link.close()
  await replica!.admin.call('REPLICAOF', 'NO', 'ONE')
  world.redis = replica!
  world.replica = undefined
  // Some find it sooner than others.
  for (const server of stage.servers) {
    proxyOf(server).point(world.redis.port)
    await sleep(stage.random.upTo(300))
  }
}

/** Writes to Redis until `enough`. */
async function fill ({ redis, stage }: RedisWorld, enough: () => Promise<boolean>): Promise<void> {
  await until(async () => {
    await redis.admin.mset(Array.from({ length: 100 }, (_, i) => [`filling:${stage.random.upTo(1e9)}:${i}`, 'x'.repeat(500)]).flat()).catch(() => {})
    return await enough()
  }, 'Redis to be full', 20_000)
}

async function usedMemory ({ redis }: RedisWorld): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.admin.info('memory'))![1])
}

const lossless: Record<string, Trouble<RedisWorld>> = {
  ...links(/\d+-\d+/),
  'kill Pub/Sub': async ({ redis }) => await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
  'forget scripts': async ({ redis }) => await redis.admin.script('FLUSH'),
  'kill -9 and restart': async ({ redis, stage }) => {
    await redis.kill()
    await sleep(stage.random.upTo(2_000))
    await start(redis)
  },
  'stop the process': async ({ redis, stage }) => {
    redis.pause()
    await sleep(stage.random.upTo(4_000))
    redis.resume()
  },
  'a long script': async ({ redis }) => await redis.admin.eval("local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 2 do end", 0),
  'full memory': async ({ redis, stage }) => {
    await redis.admin.config('SET', 'maxmemory', '1')
    await sleep(stage.random.upTo(1_000))
    await redis.admin.config('SET', 'maxmemory', '0')
  },
  'a promotion that loses nothing': async (world) => {
    const { redis, replica, stage } = world
    if (replica === undefined) return
    stage.each((proxy) => proxy.refuse(true))
    await until(async () => await redis.replicated() > 0, 'the replica to have everything')
    await promote(world)
    stage.each((proxy) => proxy.refuse(false))
  }
}

const lossy: Record<string, Trouble<RedisWorld>> = {
  FLUSHALL: async ({ redis }) => await redis.admin.flushall(),
  'DEL of a meta': async ({ redis, stage }) => await redis.admin.del(`fan-out:1:{${stage.pick(stage.rooms)}}:m`),
  'DEL of a stream': async ({ redis, stage }) => await redis.admin.del(`fan-out:1:{${stage.pick(stage.rooms)}}:s`),
  'nothing on disk': async ({ redis }) => {
    await redis.kill()
    await redis.truncateAppendOnly(0)
    await start(redis)
  },
  'a truncated log': async ({ redis, stage }) => {
    const before = await redis.appendOnlyLength()
    await stage.progress(stage.random.upTo(40))
    await redis.kill()
    await redis.truncateAppendOnly(before + stage.random.upTo(40))
    await start(redis)
  },
  eviction: async (world) => {
    const { redis, stage } = world
    const metas = stage.rooms.map((room) => `fan-out:1:{${room}}:m`)
    const most = await usedMemory(world) + 1_000_000
    await fill(world, async () => await usedMemory(world) > most)
    await redis.admin.config('SET', 'maxmemory-policy', 'allkeys-random')
    await redis.admin.config('SET', 'maxmemory', String(most))
    await fill(world, async () => await redis.admin.exists(...metas) < metas.length)
    await redis.admin.config('SET', 'maxmemory', '0')
    await redis.admin.config('SET', 'maxmemory-policy', 'noeviction')
  },
  'a promotion that loses writes': async (world) => {
    if (world.replica === undefined) return
    world.link.stall()
    await world.stage.progress(1 + world.stage.random.upTo(60))
    await promote(world)
  },
  'split brain': async (world) => {
    const { link, replica, stage } = world
    if (replica === undefined) return
    link.stall()
    await replica.admin.call('REPLICAOF', 'NO', 'ONE')
    one(world).point(replica.port)
    await stage.progress(1 + stage.random.upTo(60))
    await promote(world)
  }
}

export const redis: Arena<RedisWorld> = {
  async start (scope, seed, size) {
    const args = ['--appendonly', 'yes', '--appendfsync', 'always', '--aof-load-truncated', 'yes', '--busy-reply-threshold', '200']
    const redis = await RedisServer.start(scope, args)
    const link = await Proxy.start(scope, redis.port)
    const replica = await RedisServer.start(scope, [...args, '--replicaof', '127.0.0.1', String(link.port)])
    await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
    return { redis, replica, link, stage: await Stage.start(scope, { servers: await behindProxies(scope, redis.port, { options: { history: { size } } }), seed }) }
  },
  lossless,
  lossy
}

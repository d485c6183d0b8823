import type { RedisClient } from '../../index.js'
import type { Test } from 'tap'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis-5'
import { test } from 'tap'
import { until } from '../helpers.js'
import { Proxy } from '../faults/proxy.js'
import { stageServer } from '../faults/servers.js'
import { Stage } from '../faults/stage.js'
import { RedisServer } from '../redis-server.js'

// A client that an app hands over, as it would make it: with its own settings, of either version.
type Create = (port: number) => RedisClient & { disconnect (): void }
const versions: Record<string, Create> = {
  'ioredis 5': (port) => new Redis5(port, '127.0.0.1'),
  'ioredis 6': (port) => new Redis(port, '127.0.0.1')
}

async function behindGiven (t: Test, port: number, create: Create): Promise<Stage> {
  return await Stage.start(t, {
    servers: await Promise.all([0, 1].map(async () => {
      const proxy = await Proxy.start(t, port)
      const client = create(proxy.port)
      client.on('error', () => {})
      t.teardown(() => client.disconnect())
      return await stageServer(t, { broker: client }, proxy)
    }))
  })
}

for (const [name, create] of Object.entries(versions)) {
  test(`${name}: nothing is lost, and nobody is told`, { timeout: 60_000 }, async (t) => {
    const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
    const stage = await behindGiven(t, redis.port, create)
    await stage.busy(async () => {
      for (let i = 0; i < 6; i++) {
        await stage.progress(stage.random.upTo(30))
        stage.pick(stage.servers).proxy!.cut(stage.pick(['all', 'commands', 'live']))
      }
      await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await redis.admin.script('FLUSH')
      await stage.progress(20)
      await redis.kill()
      await redis.start()
    })
    stage.each((proxy) => proxy.drop(stage.rooms.length))
    for (const room of stage.rooms) await stage.publish(1, { room })
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    await stage.check(t, { gaps: false })
    t.equal(stage.failed.length, 0)
  })

  test(`${name}: everything is lost, and everybody is told`, async (t) => {
    const redis = await RedisServer.start(t)
    const stage = await behindGiven(t, redis.port, create)
    for (const room of stage.rooms) await stage.publish(10, { room })
    await stage.healed()
    await redis.kill()
    await redis.start()
    await stage.told(t, /epoch/)
    await stage.check(t, { gaps: true })
  })

  test(`${name}: links that died without a close are given up for new ones`, { timeout: 60_000 }, async (t) => {
    const redis = await RedisServer.start(t)
    const stage = await behindGiven(t, redis.port, create)
    for (const room of stage.rooms) await stage.publish(5, { room })
    await stage.healed()
    const [cut, other] = stage.servers
    for (const which of ['live', 'commands'] as const) cut!.proxy!.stall(which)
    for (const room of stage.rooms) await stage.publish(5, { room, server: other! })
    t.comment(`healed in ${Math.round(await stage.healed())} ms`)
    const [outcome] = await stage.publish(1, { server: cut! })
    t.equal(outcome!.error, undefined)
    await stage.healed()
    await stage.check(t, { gaps: false })
  })

  test(`${name}: the app's client is left as it was`, async (t) => {
    const redis = await RedisServer.start(t)
    const client = create(redis.port)
    t.teardown(() => client.disconnect())
    const { app } = await stageServer(t, { broker: client })
    await app.rooms.publish('left', 1)
    await app.close()
    t.equal(await client.ping(), 'PONG')
    await until(async () => String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')) === '', 'its duplicate to be gone')
  })
}

import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { behindProxies } from './servers.js'
import { BUSY, Stage } from './stage.js'

// The minute is the fault.
const MINUTE = 60_000

test('Redis is away for a minute: subscribers stay, publishes are refused in time, and all is repaired when it is back', { timeout: 2 * MINUTE }, async (t) => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  stage.each((proxy) => proxy.drop(1))
  await stage.publish(1)
  await redis.kill()
  const since = performance.now()
  const stop = stage.traffic(1_000)
  await sleep(MINUTE)
  await stop()
  t.ok(stage.failed.length > 0)
  t.ok(stage.failed.every(({ took, error }) => took < 5_000 + BUSY && /BROKER_AWAY/.test(error!)), 'refused within 5 s')
  t.ok(performance.now() - since >= MINUTE)
  await redis.start()
  const back = performance.now()
  await stage.healed()
  t.comment(`healed ${Math.round(performance.now() - back)} ms after it was back`)
  t.ok(stage.listeners.every(({ cuts }) => cuts === 0), 'all stayed connected')
  await until(() => stage.servers.every(({ app }) => app!.rooms.ready), 'the servers to be ready', 10_000)
  await stage.publish(1)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

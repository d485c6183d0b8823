import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { childServer } from './child.js'
import { Stage } from './stage.js'

test('SIGKILL of one of two servers: its clients go on with the other, and nobody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const child = await childServer(t, { broker: redis.url })
  const stage = await Stage.start(t, { servers: [child, { broker: redis.url }], listeners: 36 })
  await stage.busy(async () => {
    await stage.progress(100 + stage.random.upTo(100))
    await child.kill()
    await stage.progress(20)
    await stage.moveFrom(child)
    await stage.progress(100)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('SIGKILL of a server in a silence: what it was the last to publish is nowhere missing', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const child = await childServer(t, { broker: redis.url })
  const stage = await Stage.start(t, { servers: [child, { broker: redis.url }] })
  const publishes = stage.rooms.map(async (room) => await stage.publish(50, { room, server: child }))
  const some = stage.random.upTo(60)
  await until(() => stage.acknowledged.length > some)
  await child.kill()
  await Promise.all(publishes)
  t.comment(`${stage.acknowledged.length} acknowledged, ${stage.failed.length} unknown`)
  await stage.moveFrom(child)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

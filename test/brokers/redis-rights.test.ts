import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { RedisServer } from '../redis-server.js'
import { behindProxies } from '../faults/servers.js'
import { Stage } from '../faults/stage.js'

test('the rights that the documentation names are enough, and Redis is told of no other', async (t) => {
  const redis = await RedisServer.start(t)
  const documentation = readFileSync(new URL('../../docs/brokers/redis.md', import.meta.url), 'utf8')
  const [, command = ''] = /(ACL SETUSER[^`]*)```/.exec(documentation) ?? []
  const [acl, ...args] = command.trim().split(/\s+/)
  await redis.admin.call(acl as string, ...args)

  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { user: 'fan-out:secret' }), rooms: 1, listeners: 4 })
  await stage.publish(10)
  await stage.healed()
  await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await stage.publish(10)
  await stage.healed()
  await stage.check(t, { gaps: false })
  const { app } = stage.servers[0]!
  t.equal((await app!.rooms.history(stage.room)).messages.length, 20)
  t.equal((await app!.rooms.publish(stage.room, 'x', { idempotencyKey: 'k' })).duplicate, false)
  t.equal((await app!.rooms.publish(stage.room, 'x', { idempotencyKey: 'k' })).duplicate, true)
  t.strictSame(await redis.admin.call('ACL', 'LOG'), [])
})

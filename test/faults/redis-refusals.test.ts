import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { connect, newRoom, post, startApp, until } from '../helpers.js'
import { freePort, RedisServer } from '../redis-server.js'
import { Listener } from './listener.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'

// Redis is there, and says no.

test('Redis is not there when the server starts', { timeout: 60_000 }, async (t) => {
  t.test('wait: start-up fails when the time is over, and says why', async (t) => {
    const started = performance.now()
    const error = await startApp(t, { broker: `redis://127.0.0.1:${await freePort()}`, brokerOptions: { publishTimeout: 500, startTimeout: 3_000 } }).catch((error: Error) => error)
    t.match(error, { code: 'FAN_OUT_ERR_BROKER_AWAY', cause: { code: 'ECONNREFUSED' } })
    const took = performance.now() - started
    t.ok(took >= 3_000 && took < 15_000, `after ${Math.round(took)} ms`)
  })

  t.test('wait: it comes later than a publish would wait', async (t) => {
    const redis = await RedisServer.start(t, [], false)
    const starting = startApp(t, { broker: redis.url, brokerOptions: { publishTimeout: 300 } })
    await Promise.race([starting, sleep(1_000)])
    await redis.start()
    const { app } = await starting
    t.match(await app.rooms.publish(newRoom(), 1), { duplicate: false })
  })

  t.test('background: 503 with Retry-After until it is there', async (t) => {
    const redis = await RedisServer.start(t, [], false)
    const { app, url } = await startApp(t, { broker: redis.url, brokerOptions: { start: 'background', publishTimeout: 1_000 } })
    const room = newRoom()
    const refused = await post(`${url}/rooms/${room}`, 1)
    t.equal(refused.status, 503)
    t.match(refused.headers.get('retry-after'), /^\d+$/)
    t.equal(app.rooms.ready, false)
    await redis.start()
    await until(() => app.rooms.ready)
    const client = await connect(t, url)
    client.send({ type: 'subscribe', room })
    await client.frame({ type: 'subscribed' })
    t.equal((await post(`${url}/rooms/${room}`, 2)).status, 200)
    await client.frame({ type: 'message', data: 2 })
  })
})

test('NOSCRIPT: Redis forgets the scripts in the middle of traffic', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  await stage.busy(async () => {
    for (let i = 0; i < 10; i++) {
      await stage.progress(stage.random.upTo(20))
      await redis.admin.script('FLUSH')
    }
  })
  await stage.healed()
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
  t.match(await redis.admin.info('errorstats'), /errorstat_NOSCRIPT/)
})

test('BUSY: somebody else\'s script runs for long', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--busy-reply-threshold', '100'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  await stage.busy(async () => {
    await stage.progress(30)
    await redis.admin.eval("local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end", 0)
  })
  t.match(await redis.admin.info('errorstats'), /errorstat_BUSY/)
  t.equal(stage.failed.length, 0)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('READONLY: the primary is demoted, and another is promoted', { timeout: 60_000 }, async (t) => {
  const [one, other] = [await RedisServer.start(t), await RedisServer.start(t)]
  await other.admin.call('REPLICAOF', '127.0.0.1', one.port)
  const stage = await Stage.start(t, { servers: await behindProxies(t, one.port) })
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await until(async () => await one.replicated() === 1)
  await other.admin.call('REPLICAOF', 'NO', 'ONE')
  await one.admin.call('REPLICAOF', '127.0.0.1', other.port)
  const published = Promise.all(stage.rooms.map(async (room) => await stage.publish(4, { room })))
  await until(async () => /errorstat_READONLY/.test(await one.admin.info('errorstats')))
  stage.each((proxy) => proxy.point(other.port))
  for (const { error } of (await published).flat()) t.equal(error, undefined)
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('OOM: publishes are refused, nothing is written by halves, and reading goes on', async (t) => {
  const redis = await RedisServer.start(t, ['--maxmemory-policy', 'noeviction'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port) })
  await stage.publish(5)
  await stage.healed()
  await redis.admin.config('SET', 'maxmemory', '1')
  const refused = await stage.publish(4)
  for (const { error, result, took } of refused) {
    t.match(error, /BROKER_AWAY.*OOM/)
    t.equal(result, 'refused')
    t.ok(took < 4_000, 'it was not tried again until the publish timeout')
  }
  t.equal((await stage.servers[0]!.app!.rooms.history(stage.room)).messages.length, 5)
  await redis.admin.config('SET', 'maxmemory', '0')
  t.ok((await stage.publish(4)).every(({ error }) => error === undefined))
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('memory is full after a restart: what was published before is found, and reading goes on', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), rooms: 1 })
  await stage.publish(5)
  await stage.healed()
  const [server] = stage.servers
  const lost = server!.proxy!.loseReply(/\d+-\d+/).then(() => server!.proxy!.refuse(true))
  const publishing = stage.publish(1, { server: server! })
  await lost
  await redis.kill()
  await redis.start('--maxmemory', '1')
  server!.proxy!.refuse(false)
  // It is another Redis by what it says of itself, and cannot write that down.
  const [outcome] = await publishing
  t.equal(outcome!.error, undefined)
  await stage.healed()
  t.equal((await stage.servers[1]!.app!.rooms.history(stage.room)).messages.length, 6)
  t.match((await stage.publish(1))[0]!.error, /OOM/)
  await redis.admin.config('SET', 'maxmemory', '0')
  t.equal((await stage.publish(1))[0]!.error, undefined)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('a key of the wrong type: refused, and the others go on', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port), listeners: 6 })
  const { app } = stage.servers[0]!
  for (const kind of ['m', 's']) {
    const room = newRoom()
    await redis.admin.set(`fan-out:1:{${room}}:${kind}`, 'x')
    const result = await app!.rooms.publish(room, 1).catch((error: Error) => error)
    if (kind === 's') t.match(result, { room }, 'with no meta the stream is nobody\'s, and begun anew')
    else t.match(result, { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /WRONGTYPE/ })
  }
  const room = newRoom()
  await app!.rooms.publish(room, 1)
  await redis.admin.del(`fan-out:1:{${room}}:s`)
  await redis.admin.set(`fan-out:1:{${room}}:s`, 'x')
  const meta = await redis.admin.hgetall(`fan-out:1:{${room}}:m`)
  await t.rejects(app!.rooms.publish(room, 2), { message: /WRONGTYPE/ })
  t.strictSame(await redis.admin.hgetall(`fan-out:1:{${room}}:m`), meta, 'nothing was counted')
  // A room that cannot be compared does not keep the others from it.
  const listener = new Listener('of the broken room', `${room}:joined`, 'websocket')
  t.teardown(() => listener.leave())
  listener.come(stage.servers[0]!)
  await until(() => listener.subscribed)
  await redis.admin.set(`fan-out:1:{${room}:joined}:m`, 'x')
  stage.each((proxy) => proxy.drop(1))
  await stage.publish(1)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('rights to the channels are taken away, and given back', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  await redis.admin.call('ACL', 'SETUSER', 'default', 'on', 'nopass', '~*', '&*', '+@all')
  await redis.admin.call('ACL', 'SETUSER', 'fan', 'on', '>secret', '~fan-out:*', '&fan-out:*', '+@all')
  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { user: 'fan:secret' }) })
  for (const room of stage.rooms) await stage.publish(4, { room })
  await stage.healed()
  await redis.admin.call('ACL', 'SETUSER', 'fan', 'resetchannels')
  // What is stored is published; without live messages it comes by comparison.
  for (const room of stage.rooms) t.ok((await stage.publish(2, { room })).every(({ error }) => error === undefined))
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  const client = await connect(t, stage.servers[0]!.url)
  client.send({ type: 'subscribe', room: newRoom() })
  t.match(await client.frame({ type: 'error' }), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
  await redis.admin.call('ACL', 'SETUSER', 'fan', '&fan-out:*')
  await until(async () => (await Promise.all(stage.rooms.map(async (room) => await redis.admin.pubsub('NUMSUB', `fan-out:1:0:{${room}}`)))).every((reply) => reply[1] === 2), 'both servers to subscribe again')
  for (const room of stage.rooms) await stage.publish(2, { room })
  await stage.healed(1_000)
  await stage.check(t, { gaps: false })
})

import type { Test } from 'tap'
import type { Stage as AnyStage } from './stage.js'
import { test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Proxy } from './proxy.js'
import { Stage } from './stage.js'

async function restart (redis: RedisServer, away = 300): Promise<number> {
  await redis.kill()
  await sleep(away)
  await redis.start()
  return performance.now()
}

/** Everybody was told, with one of these reasons; what is published from now on reaches everybody. */
async function told (t: Test, stage: AnyStage, reason: RegExp, most = 1): Promise<void> {
  await until(() => stage.gaps.every((gaps) => gaps.length > 0), `everybody to be told; ${stage.state()}`, 5_000)
  for (const [gap] of stage.gaps) t.match(gap!['reason'], reason)
  const outcomes = await stage.publish(4)
  for (const client of stage.clients) for (const { text } of outcomes) await client.frame({ type: 'message', data: text })
  t.ok(stage.gaps.every((gaps) => gaps.length <= most), `at most ${most} gaps each: ${stage.state()}`)
}

test('kill -9 and restart, AOF always: nothing is lost, nobody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, redis.port)
  const stop = stage.traffic()
  for (let i = 0; i < 3; i++) {
    await sleep(400)
    await restart(redis)
  }
  await sleep(300)
  await stop()
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  stage.check(t, { gaps: false })
})

test('kill -9 and restart in a silence, AOF always: the clients are not told, and what was missed comes', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, redis.port)
  await stage.publish(3)
  await stage.healed()
  stage.each((proxy) => proxy.drop(1))
  await stage.publish(1)
  const back = await restart(redis)
  await stage.healed()
  t.comment(`healed in ${Math.round(performance.now() - back)} ms`)
  stage.check(t, { gaps: false })
})

test('restart with nothing on disk: everybody is told', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  await stage.publish(10)
  await stage.healed()
  await restart(redis)
  await told(t, stage, /epoch|forked/)
  stage.check(t, { gaps: true })
})

test('restart from a truncated AOF: everybody is told', { timeout: 60_000 }, async (t) => {
  // What is fsynced by the operating system alone is lost here as if the machine had gone: by writing it back to an earlier length.
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always', '--aof-load-truncated', 'yes'])
  const stage = await Stage.start(t, redis.port)
  await stage.publish(10)
  await stage.healed()
  const before = await redis.appendOnlyLength()
  await stage.publish(4)
  await stage.healed()
  await redis.kill()
  await redis.truncateAppendOnly(before)
  await redis.start()
  await told(t, stage, /forked/, 2)
  stage.check(t, { gaps: true })
})

test('FLUSHALL: everybody is told', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await Stage.start(t, redis.port)
  await stage.publish(10)
  await stage.healed()
  await redis.admin.flushall()
  await told(t, stage, /epoch/)
  stage.check(t, { gaps: true })
})

test('DEL of only the meta, and of only the stream', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const key = async (stage: AnyStage, kind: string): Promise<string> => (await redis.admin.keys(`*${stage.room}}:${kind}`))[0]!

  t.test('the meta: another history', async (t) => {
    const stage = await Stage.start(t, redis.port, { clients: 4 })
    await stage.publish(10)
    await stage.healed()
    await redis.admin.del(await key(stage, 'm'))
    await told(t, stage, /epoch/)
    stage.check(t, { gaps: true })
  })

  t.test('the stream: who has all of it is told nothing', async (t) => {
    const stage = await Stage.start(t, redis.port, { clients: 4 })
    await stage.publish(10)
    await stage.healed()
    await redis.admin.del(await key(stage, 's'))
    await stage.publish(10)
    await stage.healed()
    stage.check(t, { gaps: false })
    // The servers' own tails hold the rest; the broker says what it has.
    const history = await stage.servers[0]!.app.rooms.history(stage.room, { since: stage.clients[0]!.of('message')[2]!['id'] })
    t.equal(history.complete, false)
    t.equal(history.messages.length, 10)
  })
})

/** A primary, and a replica that can be kept from hearing of it. */
async function replicated (t: Test): Promise<{ primary: RedisServer, replica: RedisServer, link: Proxy }> {
  const primary = await RedisServer.start(t)
  const link = await Proxy.start(t, primary.port)
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(link.port)])
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
  return { primary, replica, link }
}

test('promotion of a replica that lacks acknowledged writes', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, primary.port)
  await stage.publish(10)
  await stage.healed()
  await until(async () => (await replica.admin.keys('*:s')).length > 0)
  t.equal(await primary.replicated(), 1)
  link.stall()
  const lost = await stage.publish(5)
  t.ok(lost.every(({ id }) => id !== undefined))
  await stage.healed()
  await primary.kill()
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  stage.each((proxy) => proxy.point(replica.port))
  await told(t, stage, /forked/, 2)
  for (const client of stage.clients) t.match(client.of('gap')[0]!['from'], client.of('message')[9]!['id'])
  stage.check(t, { gaps: true })
})

test('a lost publish that nobody but its publisher saw is told late', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, primary.port)
  await stage.publish(10)
  await stage.healed()
  t.equal(await primary.replicated(), 1)
  link.stall()
  // The live links fall silent first: only the publisher knows.
  stage.each((proxy) => proxy.stall('live'))
  const [lost] = await stage.publish(1, stage.servers[0])
  t.equal(lost!.error, undefined)
  await primary.kill()
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  // The other server is there first, and publishes over the lost one's offset.
  stage.servers[1]!.proxy.point(replica.port)
  stage.servers[1]!.proxy.flow()
  const [first] = await stage.publish(1, stage.servers[1])
  t.equal(first!.error, undefined)
  t.not(first!.id, lost!.id, 'no two messages have one id')
  t.equal(first!.id!.split('-')[1], lost!.id!.split('-')[1])
  stage.servers[0]!.proxy.point(replica.port)
  stage.servers[0]!.proxy.flow()
  await told(t, stage, /forked/, 2)
  stage.check(t, { gaps: true })
})

test('promotion of a replica that has everything: nobody is told', { timeout: 60_000 }, async (t) => {
  const { primary, replica } = await replicated(t)
  const stage = await Stage.start(t, primary.port)
  await stage.publish(10)
  await stage.healed()
  t.equal(await primary.replicated(), 1)
  await sleep(200)
  await primary.kill()
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  stage.each((proxy) => proxy.point(replica.port))
  await stage.publish(10)
  await stage.healed()
  stage.check(t, { gaps: false })
})

test('split brain, and the old primary is what is left: those on the other side are told', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, primary.port)
  await stage.publish(10)
  await stage.healed()
  t.equal(await primary.replicated(), 1)
  link.stall()
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  stage.servers[1]!.proxy.point(replica.port)
  await until(() => stage.servers[1]!.proxy.count('live') > 0)
  const [here, there] = [await stage.publish(3, stage.servers[0]), await stage.publish(4, stage.servers[1])]
  t.ok([...here, ...there].every(({ id }) => id !== undefined))
  stage.servers[1]!.proxy.point(primary.port)
  await told(t, stage, /forked|epoch/, 2)
  stage.check(t, { gaps: true })
})

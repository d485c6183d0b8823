import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Stage } from './stage.js'

/** A Redis whose user has the documented rights but one. */
async function without (t: Test, right: string): Promise<RedisServer> {
  const redis = await RedisServer.start(t)
  const documentation = readFileSync(new URL('../../docs/brokers/redis.md', import.meta.url), 'utf8')
  const [, command = ''] = /(ACL SETUSER[^`]*)```/.exec(documentation) ?? []
  const [acl, ...args] = command.trim().split(/\s+/)
  t.ok(args.includes(right))
  await redis.admin.call(acl as string, ...args.filter((arg) => arg !== right))
  return redis
}

/** What an app logs at warn and above. */
async function warnings (t: Test, redis: RedisServer, options = {}): Promise<{ app: Awaited<ReturnType<typeof startApp>>['app'], warned: string[] }> {
  const warned: string[] = []
  const stream = { write: (line: string) => { warned.push(JSON.parse(line).msg) } }
  const { app } = await startApp(t, { broker: redis.url.replace('//', '//fan-out:secret@'), ...options }, { logger: { level: 'warn', stream } })
  return { app, warned }
}

const broken = (stage: Stage): Promise<void> => {
  const links = stage.servers.reduce((sum, { proxy }) => sum + proxy.count('commands'), 0)
  stage.each((proxy) => proxy.cut('commands'))
  return until(() => stage.servers.reduce((sum, { proxy }) => sum + proxy.count('commands'), 0) === links).then(() => {})
}

test('INFO is refused: it starts, says what to do, and a reconnect is told once, whoever has to connect anew', { timeout: 60_000 }, async (t) => {
  const redis = await without(t, '+info')
  const { app, warned } = await warnings(t, redis)
  t.match(warned, [/\+info.*brokerOptions\.failover/])
  await app.rooms.publish(newRoom(), 1)
  t.equal(warned.length, 1, 'said once')

  const stage = await Stage.start(t, redis.port, { user: 'fan-out:secret' })
  const stop = stage.traffic()
  await until(() => stage.acknowledged.length > 20)
  await stop()
  await stage.healed()
  t.strictSame(stage.gaps.flat(), [], 'none while the links hold')
  for (let times = 1; times <= 2; times++) {
    await broken(stage)
    // With traffic, and no further message needed.
    if (times === 1) await stage.publish(4)
    await until(() => stage.gaps.every((gaps) => gaps.length === times), `a gap for everybody; ${stage.state()}`, 5_000)
  }
  const last = await stage.publish(4)
  for (const client of stage.clients) for (const { text } of last) await client.frame({ type: 'message', data: text })
  t.ok(stage.gaps.every((gaps) => gaps.length === 2), stage.state())
  for (const [gap] of stage.gaps) t.equal(gap!['reason'], 'forked')
  for (const client of stage.clients) t.equal(client.of('message').length, stage.acknowledged.length, 'nothing was lost')
  stage.check(t, { gaps: true })
})

test('INFO is taken away while it runs', { timeout: 60_000 }, async (t) => {
  const redis = await without(t, '+wait')
  const { app, warned } = await warnings(t, redis)
  const room = newRoom()
  const told: string[] = []
  await app.rooms.subscribe(room, {}, ({ type }) => { told.push(type) })
  await app.rooms.publish(room, 1)
  await redis.admin.call('ACL', 'SETUSER', 'fan-out', '-info')
  await app.rooms.publish(room, 2)
  await until(() => told.length === 2)
  t.match(warned, [/\+info/])
  await redis.admin.client('KILL', 'USER', 'fan-out')
  await until(() => told.length === 3)
  t.strictSame(told, ['message', 'message', 'gap'])
})

for (const [failover, gaps] of [['trust', 0], ['suspect', 1]] as const) {
  test(`failover: '${failover}' warns of nothing, and a reconnect is ${gaps === 0 ? 'no gap' : 'a gap'}`, { timeout: 60_000 }, async (t) => {
    const redis = await without(t, '+info')
    const { warned } = await warnings(t, redis, { brokerOptions: { failover } })
    const stage = await Stage.start(t, redis.port, { user: 'fan-out:secret', options: { brokerOptions: { failover } } })
    await stage.publish(10)
    await stage.healed()
    await broken(stage)
    await until(() => stage.gaps.every((told) => told.length === gaps))
    const last = await stage.publish(4)
    for (const client of stage.clients) for (const { text } of last) await client.frame({ type: 'message', data: text })
    t.ok(stage.gaps.every((told) => told.length === gaps), stage.state())
    stage.check(t, { gaps: gaps > 0 })
    t.strictSame(warned.filter((line) => line.includes('INFO')), [])
  })
}

test('trust: what was lost all the same is told, on the word of who saw it', { timeout: 60_000 }, async (t) => {
  const [one, other] = [await RedisServer.start(t), await RedisServer.start(t)]
  const stage = await Stage.start(t, one.port, { options: { brokerOptions: { failover: 'trust' } } })
  await stage.publish(10)
  await stage.healed()
  await other.admin.call('REPLICAOF', '127.0.0.1', one.port)
  await until(async () => await one.replicated() === 1)
  await other.admin.call('REPLICAOF', 'NO', 'ONE')
  await stage.publish(3)
  await stage.healed()
  stage.each((proxy) => proxy.point(other.port))
  await until(() => stage.gaps.every((gaps) => gaps.length > 0), `everybody to be told; ${stage.state()}`, 5_000)
  const last = await stage.publish(4)
  for (const client of stage.clients) for (const { text } of last) await client.frame({ type: 'message', data: text })
  for (const client of stage.clients) t.match(client.of('gap')[0]!['from'], client.of('message')[9]!['id'])
  stage.check(t, { gaps: true })
})

test('the right to the channels is taken away: said once', async (t) => {
  const redis = await without(t, '+wait')
  const { app, warned } = await warnings(t, redis)
  const room = newRoom()
  await redis.admin.call('ACL', 'SETUSER', 'fan-out', 'resetchannels')
  for (let i = 0; i < 3; i++) await app.rooms.publish(room, i)
  t.match(warned, [/does not send them.*right to publish/])
  t.equal(warned.length, 1)
})

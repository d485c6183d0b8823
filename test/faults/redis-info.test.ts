import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { behindProxies } from './servers.js'
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

/** Breaks all links for commands, and waits until Redis has as many new ones. */
async function broken (redis: RedisServer, stage: Stage): Promise<void> {
  const links = async (): Promise<number[]> => String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'normal')).split('\n')
    .filter((line) => line.includes(' user=fan-out ')).map((line) => Number(/^id=(\d+)/.exec(line)![1]))
  const newest = Math.max(...await links())
  const count = stage.servers.reduce((sum, { proxy }) => sum + proxy!.count('commands'), 0)
  if (count < stage.servers.length) throw new Error(`only ${count} links`)
  stage.each((proxy) => proxy.cut('commands'))
  await until(async () => (await links()).filter((id) => id > newest).length >= count, 'new links')
}

/** Everybody was told exactly so often, also when every server has published to every room over its new links; nobody resumed meanwhile. */
async function toldExactly (t: Test, stage: Stage, times: number): Promise<void> {
  await until(() => stage.listeners.every(({ gaps }) => gaps.length >= times), `${times} gaps for everybody; ${stage.state()}`, 5_000)
  for (const room of stage.rooms) await stage.publish(4, { room })
  await stage.healed()
  t.ok(stage.listeners.every(({ gaps }) => gaps.length === times), `${times} gaps each: ${stage.state()}`)
  t.ok(stage.listeners.every(({ gaps }) => gaps.every(({ reason }) => reason === 'forked')), 'forked')
  t.ok(stage.listeners.every(({ entries }) => entries.filter(({ type }) => type === 'subscribed').length === 1), 'all stayed')
}

/** All was acknowledged, and everybody has all of it. */
function nothingLost (t: Test, stage: Stage): void {
  t.equal(stage.failed.length, 0)
  for (const { name, room, texts } of stage.listeners) t.equal(texts.length, stage.acknowledged.filter((outcome) => outcome.room === room).length, `${name} has all`)
}

test('INFO is refused: it starts, says what to do, and a reconnect is told once, whoever has to connect anew', { timeout: 60_000 }, async (t) => {
  const redis = await without(t, '+info')
  const { app, warned } = await warnings(t, redis)
  t.match(warned, [/\+info.*brokerOptions\.failover/])
  await app.rooms.publish(newRoom(), 1)
  t.equal(warned.length, 1, 'said once')

  const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { user: 'fan-out:secret' }) })
  const stop = stage.traffic()
  await stage.progress(20)
  t.equal(stage.verdict().gaps, 0, 'none while the links hold')
  await broken(redis, stage)
  await stage.progress(20)
  await stop()
  await toldExactly(t, stage, 1)
  // And in a silence: no message is needed.
  await broken(redis, stage)
  await toldExactly(t, stage, 2)
  nothingLost(t, stage)
  await stage.check(t, { gaps: true })
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
    const stage = await Stage.start(t, { servers: await behindProxies(t, redis.port, { user: 'fan-out:secret', options: { brokerOptions: { failover } } }) })
    for (const room of stage.rooms) await stage.publish(10, { room })
    await stage.healed()
    t.equal(stage.verdict().gaps, 0, 'none while the links hold')
    await broken(redis, stage)
    await toldExactly(t, stage, gaps)
    nothingLost(t, stage)
    await stage.check(t, { gaps: gaps > 0 })
    t.strictSame(warned.filter((line) => line.includes('INFO')), [])
  })
}

test('trust: what was lost all the same is told, on the word of who saw it', { timeout: 60_000 }, async (t) => {
  const [one, other] = [await RedisServer.start(t), await RedisServer.start(t)]
  const stage = await Stage.start(t, { servers: await behindProxies(t, one.port, { options: { brokerOptions: { failover: 'trust' } } }) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await other.admin.call('REPLICAOF', '127.0.0.1', one.port)
  await until(async () => await one.replicated() === 1)
  await other.admin.call('REPLICAOF', 'NO', 'ONE')
  for (const room of stage.rooms) t.ok((await stage.publish(3, { room })).every(({ id }) => id !== undefined))
  await stage.healed()
  stage.each((proxy) => proxy.point(other.port))
  await stage.told(t, /forked/, { most: 2 })
  for (const { gaps, entries } of stage.listeners) t.equal(gaps[0]!.from, entries[10]!.id)
  await stage.check(t, { gaps: true })
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

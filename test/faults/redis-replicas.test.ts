import type { Test } from 'tap'
import type { Outcome } from './oracle.js'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Proxy } from './proxy.js'
import { behindProxies } from './servers.js'
import { BUSY, Stage } from './stage.js'

interface Pair { primary: RedisServer, replica: RedisServer, link: Proxy, stage: Stage }

async function replicaOn (t: Test, port: number): Promise<RedisServer> {
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(port)])
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication')
  return replica
}

/** A primary, a replica that can be kept from hearing of it, and servers that wait for it. */
async function replicated (t: Test, { failover = 'detect' as 'detect' | 'trust', rooms = 3 } = {}): Promise<Pair> {
  const primary = await RedisServer.start(t)
  const link = await Proxy.start(t, primary.port)
  const replica = await replicaOn(t, link.port)
  const documentation = readFileSync(new URL('../../docs/brokers/redis.md', import.meta.url), 'utf8')
  const [acl, ...args] = /(ACL SETUSER[^`]*)```/.exec(documentation)![1]!.trim().split(/\s+/)
  for (const { admin } of [primary, replica]) await admin.call(acl as string, ...args)
  const options = { brokerOptions: { replicas: 1, publishTimeout: 3_000, failover } }
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port, { user: 'fan-out:secret', options }), rooms })
  return { primary, replica, link, stage }
}

async function promote ({ primary, replica, stage }: Pair): Promise<void> {
  await primary.kill()
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
  stage.each((proxy) => proxy.point(replica.port))
}

/** Publishes to all rooms at once. */
const publishToAll = async (stage: Stage, count: number): Promise<Outcome[]> =>
  (await Promise.all(stage.rooms.map(async (room) => await stage.publish(count, { room })))).flat()

test('what is acknowledged is on the replica', { timeout: 60_000 }, async (t) => {
  const { replica, stage } = await replicated(t)
  const rooms = Array.from({ length: 20 }, (_, i) => `${stage.room}:${i}`)
  const results = await stage.servers[0]!.app!.rooms.publishMany(rooms.map((room) => ({ room, data: 1 })))
  const lengths = await Promise.all(rooms.map(async (room) => await replica.admin.xlen(`fan-out:1:{${room}}:s`)))
  t.ok(results.every((result) => 'id' in result))
  t.ok(lengths.every((length) => length === 1))
})

test('the replica lags: refused in time, and found by a later try', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link, stage } = await replicated(t, { rooms: 1 })
  await stage.publish(4)
  await stage.healed()
  link.stall()
  const [one, other] = stage.servers
  const outcome: Outcome = { room: stage.room, text: 'lags', result: 'unknown', at: performance.now(), took: 0 }
  stage.outcomes.push(outcome)
  const publish = async ({ app }: NonNullable<typeof one>): Promise<{ id?: string, duplicate?: boolean, message?: string, statusCode?: number }> =>
    await app!.rooms.publish(stage.room, outcome.text, { idempotencyKey: 'k' }).catch((error) => error)
  t.match(await publish(one!), { statusCode: 503, code: 'FAN_OUT_ERR_BROKER_AWAY', message: /0 of 1 replicas had it.*may be published/ })
  t.ok(performance.now() - outcome.at < 3_000 + BUSY)
  await until(() => stage.listeners.every(({ texts }) => texts.length === 5 && texts[4] === 'lags'), 'those who are subscribed to have it')
  t.match(await publish(other!), { statusCode: 503 }, 'that another server finds it does not mean that it is safe')
  t.equal(await replica.admin.xlen(`fan-out:1:{${stage.room}}:s`), 4)
  // What it does while it waits: the same message, at every try.
  const late = stage.publish(2)
  await until(async () => await primary.admin.xlen(`fan-out:1:{${stage.room}}:s`) === 7)
  link.flow()
  t.ok((await late).every(({ error }) => error === undefined))
  const found = await publish(one!)
  t.match(found, { duplicate: true, id: stage.listeners[0]!.entries[5]!.id })
  Object.assign(outcome, { result: 'acknowledged', id: found.id })
  t.equal(await replica.admin.xlen(`fan-out:1:{${stage.room}}:s`), 7, 'each once')
  await stage.healed()
  await stage.check(t, { gaps: false })
})

for (const failover of ['detect', 'trust'] as const) {
  test(`${failover}: promotion of a replica that has what was acknowledged: nobody is told`, { timeout: 60_000 }, async (t) => {
    const pair = await replicated(t, { failover })
    const { stage } = pair
    for (let i = 0; i < 5; i++) t.ok((await publishToAll(stage, 4)).every(({ error }) => error === undefined))
    pair.link.stall()
    await promote(pair)
    await until(async () => (await pair.replica.admin.info('replication')).includes('role:master'))
    // Nothing acknowledges any more: the new one has no replica yet.
    await replicaOn(t, pair.replica.port)
    const last = await publishToAll(stage, 4)
    t.ok(last.every(({ error }) => error === undefined), last[0]!.error ?? 'published')
    await stage.healed()
    await stage.check(t, { gaps: false })
  })
}

test('what was received but not acknowledged can be lost, and is told', { timeout: 60_000 }, async (t) => {
  const pair = await replicated(t)
  const { stage, link } = pair
  t.ok((await publishToAll(stage, 6)).every(({ error }) => error === undefined))
  await stage.healed()
  link.stall()
  const lost = await publishToAll(stage, 3)
  t.ok(lost.every(({ error }) => error?.includes('replicas')), lost[0]!.error ?? 'acknowledged')
  await until(() => stage.listeners.every(({ texts }) => texts.length === 9))
  await promote(pair)
  await until(() => stage.listeners.every(({ gaps }) => gaps.length > 0), `everybody to be told; ${stage.state()}`)
  for (const { gaps, entries } of stage.listeners) t.equal(gaps[0]!.from, entries[6]!.id)
  // So that something is acknowledged again.
  await replicaOn(t, pair.replica.port)
  await stage.told(t, /forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

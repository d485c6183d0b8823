import type { Test } from 'tap'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Proxy } from './proxy.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'

// A proxy between primary and replica decides what the replica has: stopping its process would not, the kernel delivers later.

/** A replica, and what leads it to its primary. */
async function replicaOf (t: Test, primary: RedisServer, args: string[] = []): Promise<{ replica: RedisServer, link: Proxy }> {
  const link = await Proxy.start(t, primary.port)
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(link.port), ...args])
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
  return { replica, link }
}

async function replicated (t: Test, args: string[] = []): Promise<{ primary: RedisServer, replica: RedisServer, link: Proxy }> {
  const primary = await RedisServer.start(t, args)
  return { primary, ...await replicaOf(t, primary, args) }
}

async function promote (replica: RedisServer): Promise<void> {
  await replica.admin.call('REPLICAOF', 'NO', 'ONE')
}

/** The replica hears of nothing from here on. */
async function stall (primary: RedisServer, link: Proxy): Promise<void> {
  await until(async () => await primary.replicated() > 0, 'the replica to have everything')
  link.stall()
}

test('promotion of a replica that lacks acknowledged writes, in a silence', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await stall(primary, link)
  for (const room of stage.rooms) t.ok((await stage.publish(5, { room })).every(({ id }) => id !== undefined))
  await stage.healed()
  await primary.kill()
  await promote(replica)
  stage.each((proxy) => proxy.point(replica.port))
  await stage.told(t, /forked/, { most: 2 })
  for (const { gaps, entries } of stage.listeners) t.equal(gaps[0]!.from, entries[10]!.id)
  await stage.check(t, { gaps: true })
})

test('promotions that lose acknowledged writes in the middle of traffic, one after the other', { timeout: 90_000 }, async (t) => {
  const first = await replicated(t)
  const second = await replicaOf(t, first.replica)
  const stage = await Stage.start(t, { servers: await behindProxies(t, first.primary.port, { servers: 3 }), listeners: 36 })
  const among = [...stage.listeners]
  await stage.busy(async () => {
    for (const [primary, { link, replica }] of [[first.primary, first], [first.replica, second]] as const) {
      await stall(primary, link)
      await stage.progress(20 + stage.random.upTo(40))
      await primary.kill()
      await promote(replica)
      // One server finds it sooner than another, and reuses the offsets.
      for (const { proxy } of [...stage.servers].sort(() => stage.random.next() - 0.5)) {
        proxy!.point(replica.port)
        await stage.progress(stage.random.upTo(10))
      }
      await stage.progress(20)
    }
  })
  await stage.told(t, /forked|epoch/, { most: 8, among })
  await stage.check(t, { gaps: true })
})

test('a lost publish that nobody but its publisher saw is told late', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port), rooms: 1 })
  const [one, other] = stage.servers
  await stage.publish(10)
  await stage.healed()
  await stall(primary, link)
  // The live links fall silent first: only the publisher knows.
  stage.each((proxy) => proxy.stall('live'))
  const [lost] = await stage.publish(1, { server: one })
  t.equal(lost!.error, undefined)
  await primary.kill()
  await promote(replica)
  // The other server is there first, and publishes over the lost one's offset.
  other!.proxy!.point(replica.port)
  other!.proxy!.flow()
  const [reused] = await stage.publish(1, { server: other })
  t.equal(reused!.error, undefined)
  t.not(reused!.id, lost!.id, 'no two messages have one id')
  t.equal(reused!.id!.split('-')[1], lost!.id!.split('-')[1])
  one!.proxy!.point(replica.port)
  one!.proxy!.flow()
  await stage.told(t, /forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

test('promotion of a replica that has everything: nobody is told', { timeout: 60_000 }, async (t) => {
  const { primary, replica } = await replicated(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port) })
  await stage.busy(() => stage.progress(100))
  await until(async () => await primary.replicated() === 1)
  await primary.kill()
  await promote(replica)
  stage.each((proxy) => proxy.point(replica.port))
  await stage.busy(() => stage.progress(100))
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('split brain, and the old primary is what is left: those on the other side are told', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port) })
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await stall(primary, link)
  await promote(replica)
  const [here, there] = stage.servers
  there!.proxy!.point(replica.port)
  for (const room of stage.rooms) {
    const outcomes = [...await stage.publish(3, { room, server: here }), ...await stage.publish(4, { room, server: there })]
    t.ok(outcomes.every(({ id }) => id !== undefined))
  }
  there!.proxy!.point(primary.port)
  await stage.told(t, /forked|epoch/, { most: 2 })
  await stage.check(t, { gaps: true })
})

test('split brain in the middle of traffic, and the new primary is what is left', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t)
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port) })
  const [here, there] = stage.servers
  const among = [...stage.listeners]
  await stage.busy(async () => {
    await stage.progress(50)
    await stall(primary, link)
    await promote(replica)
    there!.proxy!.point(replica.port)
    await stage.progress(50)
    here!.proxy!.point(replica.port)
    await stage.progress(50)
  })
  await stage.told(t, /forked|epoch/, { most: 6, among })
  await stage.check(t, { gaps: true })
})

test('an old primary comes back as a replica: nobody is told; in its former place: everybody is', { timeout: 60_000 }, async (t) => {
  const { primary, replica, link } = await replicated(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, { servers: await behindProxies(t, primary.port) })
  const publish = async (): Promise<void> => { for (const room of stage.rooms) t.ok((await stage.publish(5, { room })).every(({ id }) => id !== undefined)) }
  await publish()
  await stage.healed()
  await until(async () => await primary.replicated() === 1)
  await primary.kill()
  link.close()
  await promote(replica)
  stage.each((proxy) => proxy.point(replica.port))
  await publish()
  await stage.healed()
  await primary.start('--replicaof', '127.0.0.1', String(replica.port))
  await until(async () => await replica.replicated() === 1)
  await publish()
  await stage.healed()
  t.equal(stage.verdict().gaps, 0, stage.state())
  // Then it is cut off, the other goes on, and dies.
  await primary.admin.call('REPLICAOF', 'NO', 'ONE')
  await publish()
  await stage.healed()
  await replica.kill()
  stage.each((proxy) => proxy.point(primary.port))
  await stage.told(t, /forked/, { most: 2 })
  await stage.check(t, { gaps: true })
})

import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisCluster } from '../redis-cluster.js'
import { keyOf, startOnCluster } from './cluster.js'
import { Proxy } from './proxy.js'
import { BUSY, Stage } from './stage.js'

async function elsewhere (cluster: RedisCluster, room: string): Promise<RedisCluster['nodes'][number]> {
  const from = await cluster.primaryOf(keyOf(room))
  return cluster.nodes.slice(0, 3).find((node) => node !== from)!
}

test('slots move in the middle of traffic: nothing is lost, nobody is told', { timeout: 90_000 }, async (t) => {
  // Longer than any slot takes to move, on a machine that is busy too.
  const { cluster, stage } = await startOnCluster(t, { publishTimeout: 30_000 })
  await stage.busy(async () => {
    for (const room of stage.rooms.slice(0, 6)) {
      // With some of the keys here and some there no script can run; what is published meanwhile waits.
      await cluster.moveSlot(keyOf(room), await elsewhere(cluster, room), async () => { await stage.progress(20) })
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('slots move in a silence: the rooms are subscribed to where they are now', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t)
  await stage.publishEverywhere(2)
  await stage.healed()
  for (const room of stage.rooms) {
    const to = await elsewhere(cluster, room)
    await cluster.moveSlot(keyOf(room), to)
    const subscribed = async (): Promise<boolean> => {
      const channels = await to.admin.call('PUBSUB', 'SHARDCHANNELS', `*{${room}}`) as string[]
      const [, servers] = await to.admin.call('PUBSUB', 'SHARDNUMSUB', ...channels) as [string, number]
      return servers === 2
    }
    await until(subscribed, 'both servers to follow the slot', 5_000)
  }
  // The first finds the room on another Redis, which the rooms look into.
  await stage.publishEverywhere(2)
  await stage.healed()
  const repairs = (): number[] => stage.servers.map(({ app }) => app!.rooms.stats().repairs)
  const before = repairs()
  await stage.publishEverywhere(2)
  await stage.healed()
  t.strictSame(repairs(), before, 'what comes next comes live')
  await stage.check(t, { gaps: false })
})

test('the links to one node fall silent for 10 s, and flow again', { timeout: 90_000 }, async (t) => {
  const cluster = await RedisCluster.start(t)
  const proxies = await Promise.all(cluster.nodes.map(async ({ port }) => await Proxy.start(t, port)))
  const natMap = Object.fromEntries(cluster.nodes.map(({ port }, i) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: proxies[i]!.port }]))
  const given = (): Cluster => new Cluster(proxies.map(({ port }) => ({ host: '127.0.0.1', port })), { natMap, lazyConnect: true })
  const stage = await Stage.start(t, { servers: [{ broker: given() }, { broker: given() }], rooms: 9, listeners: 36 })
  await stage.publishEverywhere(2)
  await stage.healed()
  const silent = await cluster.primaryOf(keyOf(stage.room))
  const proxy = proxies[cluster.nodes.indexOf(silent)]!
  const served = await Promise.all(stage.rooms.map(async (room) => await cluster.primaryOf(keyOf(room)) !== silent))
  const stop = stage.traffic()
  proxy.stall()
  await sleep(10_000)
  proxy.flow()
  const flowing = performance.now()
  await stop()
  await stage.healed()
  t.comment(`healed in ${Math.round(performance.now() - flowing)} ms`)
  await stage.check(t, { gaps: false })
  t.ok(stage.failed.every(({ took }) => took < 5_000 + BUSY))
  t.ok(stage.failed.every(({ room }) => !served[stage.rooms.indexOf(room)]), 'the rooms of the other nodes were served all the time')
})

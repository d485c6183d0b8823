import { test } from 'tap'
import { until } from '../helpers.js'
import { keyOf, startOnCluster } from './cluster.js'

// A Cluster whose nodes are not asked which Redis they are: `suspect` tells more than was lost, and `trust` no less than a living server saw.

test('suspect: a primary fails over in the middle of traffic: nothing comes twice, and what is lost is told', { timeout: 60_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t, { failover: 'suspect' })
  const primary = await cluster.primaryOf(keyOf(stage.room))
  const replica = await cluster.replicaOf(primary)
  await stage.busy(async () => {
    await stage.progress(50)
    await cluster.failOver(replica)
    await stage.progress(50)
  })
  await stage.healed()
  await stage.check(t, { gaps: true })
})

test('trust: a primary fails over in the middle of traffic, and loses nothing: nobody is told', { timeout: 60_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t, { failover: 'trust' })
  const primary = await cluster.primaryOf(keyOf(stage.room))
  const replica = await cluster.replicaOf(primary)
  await stage.busy(async () => {
    await stage.progress(50)
    await cluster.failOver(replica)
    await stage.progress(50)
  })
  await stage.healed()
  await stage.check(t, { gaps: false })
})

for (const failover of ['suspect', 'trust'] as const) {
  test(`${failover}: a replica that lacks acknowledged writes takes over: who has them, or missed them, is told`, { timeout: 60_000 }, async (t) => {
    const { cluster, stage } = await startOnCluster(t, { failover })
    await stage.publishEverywhere(2)
    await stage.healed()
    const primary = await cluster.primaryOf(keyOf(stage.room))
    const replica = await cluster.replicaOf(primary)
    // It hears no more of its primary, which takes it for a stranger.
    await primary.admin.config('SET', 'requirepass', 'another')
    await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
    t.ok((await stage.publish(5)).every(({ result }) => result === 'acknowledged'))
    await stage.healed()
    await primary.kill()
    await until(async () => /role:master/.test(await replica.admin.info('replication')), 'the promotion', 30_000)
    await stage.told(t, /forked/, { rooms: [stage.room], most: 2 })
    await stage.publishEverywhere(2)
    await stage.healed()
    await stage.check(t, { gaps: true })
  })
}

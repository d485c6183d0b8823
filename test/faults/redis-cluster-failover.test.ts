import { test } from 'tap'
import { until } from '../helpers.js'
import { keyOf, startOnCluster } from './cluster.js'

test('a primary fails over at an operator\'s word, in the middle of traffic: nothing is lost, nobody is told', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t)
  await stage.busy(async () => {
    for (const primary of cluster.nodes.slice(0, 3)) {
      await cluster.failOver(await cluster.replicaOf(primary))
      await stage.progress(50)
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('kill -9 of a primary in the middle of traffic: its replica takes over, and later hands back', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t)
  const primary = await cluster.primaryOf(keyOf(stage.room))
  const replica = await cluster.replicaOf(primary)
  let back = 0
  await stage.busy(async () => {
    await primary.kill()
    await until(async () => /cluster_state:ok/.test(String(await replica.admin.cluster('INFO'))) && /role:master/.test(await replica.admin.info('replication')), 'the promotion', 20_000)
    back = performance.now()
  })
  await stage.healed()
  t.comment(`whole ${Math.round(performance.now() - back)} ms after the promotion`)
  await primary.start()
  await cluster.failOver(primary)
  await stage.publishEverywhere(2)
  await stage.healed()
  await stage.check(t, { gaps: true })
})

test('kill -9 of a primary in a silence, whose replica has everything: nobody is told', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t)
  await stage.publishEverywhere(2)
  await stage.healed()
  const primary = await cluster.primaryOf(keyOf(stage.room))
  const replica = await cluster.replicaOf(primary)
  await replica.admin.readonly()
  await until(async () => await primary.admin.xlen(`fan-out:1:{${stage.room}}:s`) === await replica.admin.xlen(`fan-out:1:{${stage.room}}:s`))
  await primary.kill()
  await until(async () => /cluster_state:ok/.test(String(await replica.admin.cluster('INFO'))) && /role:master/.test(await replica.admin.info('replication')), 'the promotion', 20_000)
  await stage.publishEverywhere(2)
  await stage.healed()
  await stage.check(t, { gaps: false })
})

test('a replica that lacks acknowledged writes takes over: the new messages reach everybody, who missed the lost is told', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await startOnCluster(t)
  await stage.publishEverywhere(2)
  await stage.healed()
  const primary = await cluster.primaryOf(keyOf(stage.room))
  const replica = await cluster.replicaOf(primary)
  // It hears no more of its primary, which takes it for a stranger.
  await primary.admin.config('SET', 'requirepass', 'another')
  await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  const lost = await stage.publish(5)
  t.ok(lost.every(({ result }) => result === 'acknowledged'))
  await stage.healed()
  await primary.kill()
  await until(async () => /role:master/.test(await replica.admin.info('replication')), 'the promotion', 30_000)
  t.equal(await replica.admin.xlen(`fan-out:1:{${stage.room}}:s`), 2)
  await stage.told(t, /forked/, { rooms: [stage.room], most: 2 })
  await stage.publishEverywhere(2)
  await stage.healed()
  await stage.check(t, { gaps: true })
})

import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { NatsCluster } from '../nats-cluster.js'
import { STREAM, urlOf } from './jetstream-stage.js'
import { BUSY, Stage } from './stage.js'

// Three nodes, each of which holds all: one of them may go, or forget, and nobody is told anything.

async function start (t: Parameters<typeof Stage.start>[0]): Promise<{ cluster: NatsCluster, stage: Stage }> {
  const cluster = await NatsCluster.start(t)
  const server = { broker: urlOf(cluster), brokerOptions: { replicas: 2 } }
  return { cluster, stage: await Stage.start(t, { servers: [server, server] }) }
}

test('the node that leads the stream is killed under load', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await start(t)
  await stage.busy(async () => {
    const leader = await cluster.leaderOf(STREAM)
    await leader.kill()
    await stage.progress(50, 30_000)
    await leader.start()
    await cluster.settled()
    await stage.progress(50)
  })
  t.ok(stage.failed.every(({ took }) => took < 5_000 + BUSY), 'refused within 5 s')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

test('a node is restored from an older copy', { timeout: 90_000 }, async (t) => {
  const { cluster, stage } = await start(t)
  await stage.busy(async () => {
    const leader = await cluster.leaderOf(STREAM)
    const node = stage.pick(cluster.nodes.filter((node) => node !== leader))
    const copy = await node.copyStore()
    await stage.progress(50 + stage.random.upTo(50))
    await node.kill()
    await node.restoreStore(copy)
    await node.start()
    await cluster.settled()
    // Whoever asks it must not be answered from the past.
    await stage.progress(50)
    await leader.kill()
    await stage.progress(50, 30_000)
    await leader.start()
    await sleep(stage.random.upTo(500))
  })
  t.ok(stage.failed.every(({ took }) => took < 5_000 + BUSY), 'refused within 5 s')
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
})

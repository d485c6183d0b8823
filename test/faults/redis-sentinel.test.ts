import type { Test } from 'tap'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisSentinels } from '../redis-sentinels.js'
import { Stage } from './stage.js'
import { arrives, judgeWindowless } from './windowless.js'

const brokerOptions = { publishTimeout: 20_000 }

/** One server is given the URL, the other a client. */
async function startStage (t: Test): Promise<{ sentinels: RedisSentinels, stage: Stage }> {
  const sentinels = await RedisSentinels.start(t)
  const client = new Redis({ sentinels: sentinels.ports.map((port) => ({ host: '127.0.0.1', port })), name: 'main', lazyConnect: true })
  return { sentinels, stage: await Stage.start(t, { servers: [sentinels.url(), client].map((broker) => ({ broker, brokerOptions })) }) }
}

test('Sentinels fail over in the middle of traffic', { timeout: 90_000 }, async (t) => {
  const { sentinels, stage } = await startStage(t)
  await stage.busy(async () => {
    await stage.progress(50)
    await sentinels.failOver()
    await stage.progress(20)
  })
  await stage.healed()
  await stage.check(t, { gaps: true })
})

test('Sentinels promote a replica that has everything: nobody is told', { timeout: 90_000 }, async (t) => {
  const { sentinels, stage } = await startStage(t)
  await stage.publishEverywhere(10)
  await stage.healed()
  await until(async () => await sentinels.primary.replicated() === 1)
  await sentinels.failOver()
  await stage.publishEverywhere(5)
  await stage.healed()
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('Sentinels promote a replica that lacks acknowledged writes: everybody is told, and nothing comes twice', { timeout: 90_000 }, async (t) => {
  const { sentinels, stage } = await startStage(t)
  const { primary } = sentinels
  await stage.publishEverywhere(10)
  await stage.healed()
  await until(async () => await primary.replicated() === 1)
  // The replica is cut off, and may not come back: Sentinels would lead it around any proxy.
  await primary.admin.call('ACL', 'SETUSER', 'default', '-psync', '-sync')
  await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  t.ok((await stage.publishEverywhere(5)).every(({ id }) => id !== undefined))
  await stage.healed()
  await sentinels.failOver()
  await until(() => stage.listeners.every(({ gaps }) => gaps.length > 0), 'everybody to be told', 15_000)
  await stage.told(t, /forked/, { most: 2 })
  for (const { gaps, entries } of stage.listeners) t.equal(gaps[0]!.from, entries[10]!.id)
  await stage.check(t, { gaps: true })
})

test('redis+pubsub: Sentinels fail over in the middle of traffic: who missed something is told, and it goes on', { timeout: 90_000 }, async (t) => {
  const sentinels = await RedisSentinels.start(t)
  const broker = sentinels.url('redis+pubsub')
  const stage = await Stage.start(t, { servers: [{ broker, brokerOptions }, { broker, brokerOptions }], listeners: 36, judge: judgeWindowless })
  await stage.busy(async () => {
    await stage.progress(50)
    await sentinels.failOver()
    await stage.progress(20)
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await arrives(stage)
  await stage.check(t, { gaps: true })
  t.equal(stage.failed.length, 0)
})

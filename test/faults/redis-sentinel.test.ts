import type { Test } from 'tap'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Stage } from './stage.js'

interface Trio { primary: RedisServer, replica: RedisServer, url: string, client: Redis }

/** A primary, a replica, and three Sentinels that watch over them. */
async function startTrio (t: Test): Promise<Trio> {
  const primary = await RedisServer.start(t)
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(primary.port)])
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-sentinel-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  const sentinels = await Promise.all([0, 1, 2].map(async (i) => {
    const path = join(folder, `${i}.conf`)
    await writeFile(path, `sentinel monitor main 127.0.0.1 ${primary.port} 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n`)
    return await RedisServer.startSentinel(t, path)
  }))
  await until(async () => (await Promise.all(sentinels.map(({ admin }) => admin.info('sentinel')))).every((info) => /slaves=1,sentinels=3/.test(info)), 'the sentinels to find each other', 20_000)
  return {
    primary,
    replica,
    url: `redis://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}?sentinel=main`,
    client: new Redis({ sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })), name: 'main', lazyConnect: true })
  }
}

/** One server is given the URL, the other a client. */
async function startStage (t: Test, { url, client }: Trio): Promise<Stage> {
  return await Stage.start(t, { servers: [url, client].map((broker) => ({ broker, brokerOptions: { publishTimeout: 20_000 } })) })
}

const promoted = async ({ replica }: Trio): Promise<unknown> => await until(async () => /role:master/.test(await replica.admin.info('replication')), 'the promotion', 20_000)

test('Sentinels fail over in the middle of traffic', { timeout: 90_000 }, async (t) => {
  const trio = await startTrio(t)
  const stage = await startStage(t, trio)
  await stage.busy(async () => {
    await stage.progress(50)
    await trio.primary.kill()
    await promoted(trio)
    await stage.progress(20)
  })
  await stage.healed()
  await stage.check(t, { gaps: true })
})

test('Sentinels promote a replica that has everything: nobody is told', { timeout: 90_000 }, async (t) => {
  const trio = await startTrio(t)
  const stage = await startStage(t, trio)
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await until(async () => await trio.primary.replicated() === 1)
  await trio.primary.kill()
  await promoted(trio)
  for (const room of stage.rooms) await stage.publish(5, { room })
  await stage.healed()
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('Sentinels promote a replica that lacks acknowledged writes: everybody is told, and nothing comes twice', { timeout: 90_000 }, async (t) => {
  const trio = await startTrio(t)
  const stage = await startStage(t, trio)
  for (const room of stage.rooms) await stage.publish(10, { room })
  await stage.healed()
  await until(async () => await trio.primary.replicated() === 1)
  // The replica is cut off, and may not come back: Sentinels would lead it around any proxy.
  await trio.primary.admin.call('ACL', 'SETUSER', 'default', '-psync', '-sync')
  await trio.primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  for (const room of stage.rooms) t.ok((await stage.publish(5, { room })).every(({ id }) => id !== undefined))
  await stage.healed()
  await trio.primary.kill()
  await promoted(trio)
  await until(() => stage.listeners.every(({ gaps }) => gaps.length > 0), 'everybody to be told', 15_000)
  await stage.told(t, /forked/, { most: 2 })
  for (const { gaps, entries } of stage.listeners) t.equal(gaps[0]!.from, entries[10]!.id)
  await stage.check(t, { gaps: true })
})

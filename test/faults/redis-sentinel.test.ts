import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Stage } from './stage.js'

test('Sentinels fail over in the middle of traffic', { timeout: 90_000 }, async (t) => {
  const primary = await RedisServer.start(t)
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(primary.port)])
  await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-sentinel-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const sentinels = await Promise.all([0, 1, 2].map(async (i) => {
    const path = join(folder, `${i}.conf`)
    await writeFile(path, `sentinel monitor main 127.0.0.1 ${primary.port} 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n`)
    return await RedisServer.startSentinel(t, path)
  }))
  await until(async () => /slaves=1,sentinels=3/.test(await sentinels[0]!.admin.info('sentinel')), 'the sentinels to find each other', 20_000)

  const stage = new Stage()
  for (let i = 0; i < 2; i++) {
    const client = new Redis({ sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })), name: 'main' }).on('error', () => {})
    t.teardown(() => client.disconnect())
    const { app, url } = await startApp(t, { broker: client, brokerOptions: { publishTimeout: 20_000 } })
    stage.servers.push({ app, url, proxy: undefined as never })
  }
  for (let i = 0; i < 12; i++) await stage.join(t, stage.servers[i % 2]!)
  const stop = stage.traffic(50)
  await new Promise((resolve) => setTimeout(resolve, 500))
  await primary.kill()
  await until(async () => /role:master/.test(await replica.admin.info('replication')), 'the promotion', 20_000)
  const [after] = await stage.publish(1)
  t.equal(after!.error, undefined)
  await stop()
  await stage.healed(10_000)
  stage.check(t, { gaps: true })
})

import type { Test } from 'tap'
import type { Certificate } from './certificate.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './helpers.js'
import { freePort, RedisServer } from './redis-server.js'

/** A primary, a replica, and three Sentinels that watch over them, by the name of `main`. */
export class RedisSentinels {
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** Where the Sentinels are. */
  readonly ports: number[]

  private constructor (primary: RedisServer, replica: RedisServer, ports: number[]) {
    this.primary = primary
    this.replica = replica
    this.ports = ports
  }

  /** With a certificate they speak TLS, among themselves too; the tests do without. */
  static async start (t: Pick<Test, 'teardown'>, tls?: Certificate): Promise<RedisSentinels> {
    const settings = async (): Promise<string[][]> => tls === undefined ? [] : Object.entries({ ...tls.settings, 'tls-replication': 'yes', 'tls-port': String(await freePort()) })
    const args = async (): Promise<string[]> => (await settings()).flatMap(([name, value]) => [`--${name}`, value as string])
    const primary = await RedisServer.start(t, args)
    const port = tls === undefined ? primary.port : await primary.tlsPort()
    const replica = await RedisServer.start(t, async () => [...await args(), '--replicaof', '127.0.0.1', String(port)])
    await until(async () => /master_link_status:up/.test(await replica.admin.info('replication')), 'replication', 10_000)
    const folder = await mkdtemp(join(tmpdir(), 'fan-out-sentinel-'))
    t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
    const sentinels = await Promise.all([0, 1, 2].map(async (i) => {
      const path = join(folder, `${i}.conf`)
      const own = await settings()
      const lines = [...own.map((setting) => setting.join(' ')), `sentinel monitor main 127.0.0.1 ${port} 2`, 'sentinel down-after-milliseconds main 1000', 'sentinel failover-timeout main 3000', '']
      await writeFile(path, lines.join('\n'))
      const server = await RedisServer.startSentinel(t, path)
      return { server, port: Number(own.find(([name]) => name === 'tls-port')?.[1] ?? server.port) }
    }))
    await until(async () => (await Promise.all(sentinels.map(({ server }) => server.admin.info('sentinel')))).every((info) => /slaves=1,sentinels=3/.test(info)), 'the sentinels to find each other', 20_000)
    return new RedisSentinels(primary, replica, sentinels.map(({ port }) => port))
  }

  url (scheme = 'redis', host = '127.0.0.1'): string {
    return `${scheme}://${this.ports.map((port) => `${host}:${port}`).join(',')}?sentinel=main`
  }

  /** `kill -9` of the primary, and what the Sentinels do then. */
  async failOver (): Promise<void> {
    await this.primary.kill()
    await until(async () => /role:master/.test(await this.replica.admin.info('replication')), 'the promotion', 20_000)
  }
}

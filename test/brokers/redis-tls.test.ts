import type { Test } from 'tap'
import type { StageServer } from '../faults/servers.js'
import type { Certificate } from '../certificate.js'
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { createCertificate } from '../certificate.js'
import { startApp, until } from '../helpers.js'
import { childServer } from '../faults/child.js'
import { Proxy } from '../faults/proxy.js'
import { stageServer } from '../faults/servers.js'
import { Stage } from '../faults/stage.js'
import { RedisCluster } from '../redis-cluster.js'
import { RedisSentinels } from '../redis-sentinels.js'
import { freePort, RedisServer } from '../redis-server.js'

interface Secured { redis: RedisServer, port: number, certificate: string }

async function argsFor ({ settings }: Certificate): Promise<string[]> {
  return Object.entries({ ...settings, 'tls-port': String(await freePort()) }).flatMap(([name, value]) => [`--${name}`, value])
}

/** A Redis that speaks TLS, under a certificate that nobody knows yet. */
async function secured (t: Test): Promise<Secured> {
  const certificate = await createCertificate(t)
  const redis = await RedisServer.start(t, () => argsFor(certificate))
  return { redis, port: await redis.tlsPort(), certificate: certificate.certificate }
}

/** Two servers that trust it. Whom Node trusts it reads at its start, so they are processes of their own. */
async function trusting (t: Test, { certificate }: Certificate, broker: string): Promise<StageServer[]> {
  return await Promise.all([0, 1].map(async () => await childServer(t, { broker, brokerOptions: { publishTimeout: 20_000 } }, { NODE_EXTRA_CA_CERTS: certificate })))
}

test('rediss://: by URL with NODE_EXTRA_CA_CERTS, and by a client that was given the certificate', { timeout: 60_000 }, async (t) => {
  const { redis, port, certificate } = await secured(t)
  const proxy = await Proxy.start(t, port)
  const client = new Redis({ host: '127.0.0.1', port: proxy.port, tls: { ca: await readFile(certificate) } }).on('error', () => {})
  t.teardown(() => client.disconnect())
  const stage = await Stage.start(t, {
    servers: [
      await childServer(t, { broker: `rediss://localhost:${port}` }, { NODE_EXTRA_CA_CERTS: certificate }),
      await stageServer(t, { broker: client }, proxy)
    ]
  })
  await stage.busy(async () => {
    for (let i = 0; i < 5; i++) {
      await stage.progress(20)
      proxy.cut(stage.pick(['all', 'commands', 'live']))
      await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    }
  })
  t.comment(`healed in ${Math.round(await stage.healed())} ms`)
  await stage.check(t, { gaps: false })
  t.equal(stage.failed.length, 0)
})

test('rediss://: a certificate that is not trusted is refused', { timeout: 60_000 }, async (t) => {
  const { port } = await secured(t)
  await t.rejects(startApp(t, { broker: `rediss://localhost:${port}`, brokerOptions: { publishTimeout: 1_000, startTimeout: 2_000 } }), {
    code: 'FAN_OUT_ERR_BROKER_AWAY',
    cause: { message: /self-signed certificate/ }
  })
})

test('rediss:// on Sentinels, which fail over', { timeout: 90_000 }, async (t) => {
  const certificate = await createCertificate(t)
  const sentinels = await RedisSentinels.start(t, certificate)
  const broker = sentinels.url('rediss', 'localhost')
  const stage = await Stage.start(t, { servers: await trusting(t, certificate, broker) })
  await stage.publishEverywhere(5)
  await stage.healed()
  await until(async () => await sentinels.primary.replicated() === 1)
  await sentinels.failOver()
  await stage.publishEverywhere(5)
  await stage.healed()
  t.equal(stage.failed.length, 0)
  t.strictSame(stage.verdict(), { duplicates: [], disorder: [], losses: [], gaps: 0 })
})

test('rediss:// on a Cluster: links to all of its nodes, also when they break', { timeout: 60_000 }, async (t) => {
  const certificate = await createCertificate(t)
  const cluster = await RedisCluster.start(t, { replicas: 0, args: async () => [...await argsFor(certificate), '--tls-cluster', 'yes'] })
  const ports = await Promise.all(cluster.nodes.map((node) => node.tlsPort()))
  const broker = `rediss://${ports.map((port) => `localhost:${port}`).join(',')}?cluster=true`
  const stage = await Stage.start(t, { servers: await trusting(t, certificate, broker), rooms: 9, listeners: 36 })
  await stage.publishEverywhere(5)
  await stage.healed()
  for (const type of ['pubsub', 'normal']) {
    const killed = await Promise.all(cluster.nodes.map(async ({ admin }) => Number(await admin.call('CLIENT', 'KILL', 'TYPE', type))))
    t.ok(killed.some((count) => count > 0), `${type}: ${killed.join()}`)
  }
  await stage.publishEverywhere(5)
  await stage.healed()
  t.equal(stage.failed.length, 0)
  t.strictSame(stage.verdict(), { duplicates: [], disorder: [], losses: [], gaps: 0 })
})

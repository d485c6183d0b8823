import type { Test } from 'tap'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { startApp } from '../helpers.js'
import { childServer } from '../faults/child.js'
import { Proxy } from '../faults/proxy.js'
import { stageServer } from '../faults/servers.js'
import { Stage } from '../faults/stage.js'
import { freePort, RedisServer } from '../redis-server.js'
// @ts-expect-error: plain JavaScript, run before there is anything to compile
import { find } from '../services.mjs'

interface Secured { redis: RedisServer, port: number, certificate: string }

/** A Redis that speaks TLS, under a certificate that nobody knows yet. */
async function secured (t: Test): Promise<Secured> {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
  await promisify(execFile)(find('openssl') as string, ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate])
  const port = await freePort()
  const redis = await RedisServer.start(t, ['--tls-port', String(port), '--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no'])
  return { redis, port, certificate }
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
  await t.rejects(startApp(t, { broker: `rediss://localhost:${port}`, brokerOptions: { publishTimeout: 1_000 } }), {
    code: 'FAN_OUT_ERR_BROKER_AWAY',
    cause: { message: /self-signed certificate/ }
  })
})

import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { createCertificate, natsTls } from '../certificate.js'
import { connect, newRoom, post, startApp, until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'
import { freePort } from '../redis-server.js'

const START = 1_000

test('the rights that the documentation names are enough, and it says at start-up where they are not', async (t) => {
  const documentation = await readFile('docs/brokers/nats.md', 'utf8')
  const [, config = ''] = /Its rights\n+```\n(.*?)```/s.exec(documentation) ?? []
  const secured = await NatsServer.start(t, { config })
  const broker = secured.url.replace('//', '//fan-out:secret@')
  const { url, app } = await startApp(t, { broker, presence: true })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room })
  await client.frame({ type: 'subscribed' })
  await post(`${url}/rooms/${room}`, 1)
  await client.frame({ type: 'message', data: 1 })
  t.equal((await app.rooms.presence(room)).length, 1)
  t.equal((await secured.ask('/varz')).connections, 1)

  for (const kind of ['publish', 'subscribe']) {
    const less = await NatsServer.start(t, { config: config.replace(`${kind}: "fan-out.core.*"`, `${kind}: "other.*"`) })
    await t.rejects(startApp(t, { broker: less.url.replace('//', '//fan-out:secret@'), brokerOptions: { startTimeout: START } }), {
      code: 'FAN_OUT_ERR_BROKER_AWAY',
      message: new RegExp(`NATS refuses: .*${kind === 'publish' ? 'Publish' : 'Subscription'} to "fan-out\\.core\\.`, 'i')
    }, kind)
  }
})

test('a start that fails says why, and does not repeat what is secret', async (t) => {
  const secured = await NatsServer.start(t, { config: 'authorization { user: u, password: secret }' })
  for (const [what, broker, message] of [
    ['nobody listens', `nats://u:secret@127.0.0.1:${await freePort()}`, /refused/i],
    ['a wrong password', `nats://u:secrets@127.0.0.1:${secured.port}`, /authorization violation/i],
    ['an unknown host', 'nats://u:secret@no-such-host.invalid', /ENOTFOUND|EAI_AGAIN/]
  ] as const) {
    const began = performance.now()
    const error = await startApp(t, { broker, brokerOptions: { startTimeout: START } }).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FAN_OUT_ERR_BROKER_AWAY', message }, what)
    t.notMatch(error?.message, /secret/)
    t.ok(performance.now() - began < 5_000, 'sooner than a publish would fail')
  }
  await t.rejects(startApp(t, { broker: 'nats://127.0.0.1?nkey=/nowhere' }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /\?nkey/ })
})

test('it may start before NATS does', async (t) => {
  const later = await NatsServer.start(t)
  await later.kill()
  const { url, app } = await startApp(t, { broker: later.url, brokerOptions: { start: 'background', publishTimeout: START } })
  t.equal(app.rooms.ready, false)
  const room = newRoom()
  t.match(await post(`${url}/rooms/${room}`, 1), { status: 503, body: { code: 'FAN_OUT_ERR_BROKER_AWAY' } })
  await later.start()
  await until(() => app.rooms.ready)
  t.match(await post(`${url}/rooms/${room}`, 2), { status: 200 })
})

test('a message that is too large for NATS is refused, and the next one is not', async (t) => {
  const server = await NatsServer.start(t, { config: 'max_payload: 1000' })
  const { url } = await startApp(t, { broker: server.url })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room })
  await client.frame({ type: 'subscribed' })
  t.match(await post(`${url}/rooms/${room}`, 'é'.repeat(500)), { status: 413, body: { code: 'FAN_OUT_ERR_TOO_LARGE', message: /1000 bytes/ } })
  t.match(await post(`${url}/rooms/${room}`, 'é'.repeat(450)), { status: 200 })
  await client.frame({ type: 'message' })
  t.equal(client.of('gap').length, 0)
})

test('TLS', async (t) => {
  const certificate = await createCertificate(t)
  const secured = await NatsServer.start(t, { config: natsTls(certificate, true) })
  const query = `tlsCa=${certificate.certificate}&tlsCert=${certificate.certificate}&tlsKey=${certificate.key}`
  for (const host of ['localhost', '127.0.0.1']) {
    const { url } = await startApp(t, { broker: `nats://${host}:${secured.port}?${query}` })
    t.match(await post(`${url}/rooms/${newRoom()}`, 1), { status: 200 }, host)
  }
  const plain = await NatsServer.start(t)
  const brokerOptions = { startTimeout: START }
  for (const [what, broker, message] of [
    ['an authority that is not known', `nats://localhost:${secured.port}`, /self-signed certificate/],
    ['without a certificate of ours', `nats://localhost:${secured.port}?tlsCa=${certificate.certificate}`, /certificate|tls|hung up|broke/i],
    ['a server without TLS', `${plain.url}?tls=true`, /tls/]
  ] as const) await t.rejects(startApp(t, { broker, brokerOptions }), { code: 'FAN_OUT_ERR_BROKER_AWAY', message }, what)
})

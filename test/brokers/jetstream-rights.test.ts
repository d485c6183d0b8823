import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { createCertificate, natsTls } from '../certificate.js'
import { connect, newRoom, post, startApp } from '../helpers.js'
import { NatsServer } from '../nats-server.js'

const documentation = await readFile('docs/brokers/nats.md', 'utf8')
const [, config = ''] = /The rights on JetStream\n+An account.*?```\n(.*?)```/s.exec(documentation) ?? []

for (const program of ['nats', 'nats-current'] as const) {
  test(`the rights that the documentation names are enough, ${program}, with TLS`, async (t) => {
    const certificate = await createCertificate(t)
    const secured = await NatsServer.start(t, { program, jetstream: true, config: `${config}\n${natsTls(certificate)}` })
    const broker = `${secured.url.replace('nats://', 'nats+jetstream://fan-out:secret@')}?tlsCa=${certificate.certificate}`
    const [one, other] = [await startApp(t, { broker, presence: true }), await startApp(t, { broker, presence: true })]
    const room = newRoom()
    const client = await connect(t, one.url)
    client.send({ type: 'subscribe', room })
    await client.frame({ type: 'subscribed' })
    const { body: { id } } = await post(`${other.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
    t.match(await post(`${one.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' }), { status: 200, body: { id, duplicate: true } })
    await client.frame({ type: 'message', data: 1, id })
    t.equal((await other.app.rooms.presence(room)).length, 1)
    for (const { app } of [one, other]) t.match(await app.rooms.history(room), { messages: [{ id, data: 1 }] })
  })
}

for (const right of ['"fan-out.room.*", ', '"$JS.API.STREAM.CREATE.fan-out", ', '"fan-out.live.*", ', '"$JS.API.STREAM.MSG.GET.fan-out", ']) {
  test(`a start without the right to ${right} says so`, async (t) => {
    const less = await NatsServer.start(t, { jetstream: true, config: config.replace(right, '') })
    t.not(config.replace(right, ''), config)
    const subject = right.replace(/[",* ]/g, '')
    await t.rejects(startApp(t, { broker: less.url.replace('nats://', 'nats+jetstream://fan-out:secret@'), brokerOptions: { startTimeout: 1_500 } }), {
      code: 'FAN_OUT_ERR_BROKER_AWAY',
      message: new RegExp(`NATS refuses: .*"${subject.replaceAll('.', '\\.').replaceAll('$', '\\$')}`)
    })
  })
}

import { test } from 'tap'
import { connect, newRoom, post } from '../helpers.js'
import { areOneSystem, keepNothing, serveTheSlow, twoServers } from './two-servers.js'

test('two servers on core NATS are one system, without a window', async (t) => {
  const servers = await twoServers(t, 'nats:')
  areOneSystem(t, servers, { inOneOrder: false, keys: false })
  keepNothing(t, servers)

  t.test('a key is refused, since nobody would remember it, and the number of its message is not missed', async (t) => {
    const [a, b] = servers
    const room = newRoom()
    const client = await connect(t, b.url)
    client.send({ type: 'subscribe', room })
    await client.frame({ type: 'subscribed' })
    const { status, body } = await post(`${a.url}/rooms/${room}`, 1, { 'idempotency-key': 'k' })
    t.match({ status, code: body.code, message: body.message }, { status: 400, code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY', message: /nats\+jetstream/ })
    await post(`${a.url}/rooms/${room}`, 2)
    await client.frame({ type: 'message', data: 2 })
    t.equal(client.of('message').length, 1)
    t.equal(client.of('gap').length, 0)
  })
})

test('a subscriber that is slow is served from memory, and told a gap where that is not enough', async (t) => {
  await serveTheSlow(t, await twoServers(t, 'nats:', { history: { size: 10 } }))
})

import { test } from 'tap'
import { Proxy } from '../faults/proxy.js'
import { newRoom, startApp, until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'
import { joined, open, record, startScripted, TRANSPORTS, welcome } from './helpers.js'

// On a broker that remembers no keys a publish goes without one, and is never sent again.

for (const transport of TRANSPORTS) {
  test(`over ${transport}, it publishes where the broker takes no keys`, async (t) => {
    const nats = await NatsServer.start(t)
    const { app, url } = await startApp(t, { broker: nats.url, authorize: () => true, clientPublish: true })
    const proxy = await Proxy.start(t, Number(new URL(url).port))
    const client = open(t, `http://127.0.0.1:${proxy.port}`, { transport })
    const room = client.join(newRoom())
    const told = record(room)
    await joined(room)
    const { id, duplicate } = await room.publish(1)
    t.equal(duplicate, false)
    await Promise.all([2, 3].map(async (n) => await room.publish(n)))
    await until(() => told.data.length === 3)
    t.strictSame(told.data, [1, 2, 3])
    t.equal(told.events[0]?.id, id)
    await t.rejects(room.publish(4, { idempotencyKey: 'mine' }), { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' }, 'whoever relies on a key is told')

    const lost = proxy.loseReply(/"(published|id)":/)
    const unknown = room.publish(5)
    unknown.catch(() => {})
    await lost
    await t.rejects(unknown, { code: 'FAN_OUT_ERR_CONNECTION' }, 'nobody knows what became of it')
    await until(() => client.state !== 'open')
    await room.publish(6)
    const got: unknown[] = []
    const all = await app.rooms.subscribe(room.name, (event) => { if (event.type === 'message') got.push(event.data) })
    await room.publish(7)
    await until(() => got.includes(7))
    t.strictSame(got, [7], 'none came again')
    await all.close()
  })
}

test('what was under way without a key when the link broke is rejected; what waited for a link is sent', async (t) => {
  const { url, peers } = await startScripted(t, {
    frame: (peer, { ref, idempotencyKey, data }, n) => {
      if (n === 0 && data === 'no answer') return
      if (idempotencyKey !== undefined) peer.send({ type: 'error', code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY', message: 'none are taken', ref })
      else peer.send({ type: 'published', room: 'a', id: '1-1', duplicate: false, ref })
    }
  })
  const client = open(t, url, { transport: 'websocket' })
  await client.publish('a', 1)
  const [peer] = peers
  t.strictSame(peer!.frames.map(({ data, idempotencyKey }) => [data, typeof idempotencyKey]), [[1, 'string'], [1, 'undefined']])
  const unanswered = client.publish('a', 'no answer')
  const keyed = client.publish('a', 'no answer', { idempotencyKey: 'mine' })
  keyed.catch(() => {})
  await until(() => peer!.frames.length === 4)
  peer!.close()
  await t.rejects(unanswered, { code: 'FAN_OUT_ERR_CONNECTION' })
  t.equal(client.state, 'waiting')
  await client.publish('a', 2)
  await t.rejects(keyed, { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' })
  t.strictSame(peers[1]!.frames.map(({ data, idempotencyKey }) => [data, idempotencyKey]).sort(), [[2, undefined], ['no answer', 'mine']])
})

test('a server that refuses without end is not asked without end', async (t) => {
  const { url, peers } = await startScripted(t, {
    open: (peer) => peer.send(welcome),
    frame: (peer, { ref }) => peer.send({ type: 'error', code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY', message: 'none are taken', ref })
  })
  const client = open(t, url, { transport: 'websocket' })
  await t.rejects(client.publish('a', 1), { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' })
  t.equal(peers[0]!.frames.length, 2)
})

import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { connect, newRoom, post, startApp, until } from '../helpers.js'
import { Barrier, ownBroker } from '../app/broker.js'

test("start: 'wait' fails the start, saying what was wrong", async (t) => {
  for (const [start, message] of [
    [async () => { throw new Error('ECONNREFUSED 127.0.0.1:6379') }, /ECONNREFUSED 127\.0\.0\.1:6379/],
    [async () => await new Promise<void>(() => {}), /not reached within 100 ms/]
  ] as const) {
    const app = Fastify()
    app.register(fanOut, { broker: ownBroker(() => ({ start })), brokerOptions: { startTimeout: 100 } })
    const began = performance.now()
    await t.rejects(Promise.resolve(app.listen({ port: 0 })), { message })
    t.ok(performance.now() - began < 8_000, 'before Fastify gives up')
    await app.close()
  }
})

test("start: 'background' starts, and answers 503 until the broker is there", async (t) => {
  const barrier = new Barrier()
  const called: string[] = []
  const broker = ownBroker((inner) => ({
    async start (events) { await barrier.pass(); called.length = 0; await inner.start(events) },
    async publish (messages) { called.push('publish'); return await inner.publish(messages) },
    async read (room, request) { called.push('read'); return await inner.read(room, request) }
  }))
  const { app, url } = await startApp(t, { broker, brokerOptions: { start: 'background', startTimeout: 50, publishTimeout: 200 } })
  const room = newRoom()
  await until(() => barrier.waiting === 1)
  t.equal(app.rooms.ready, false)
  const away = await post(`${url}/rooms/${room}`, 1)
  t.match(away, { status: 503, body: { code: 'FAN_OUT_ERR_BROKER_AWAY', statusCode: 503 } })
  t.match(away.headers.get('retry-after'), /^\d+$/)
  await t.rejects(app.rooms.publish(room, 1), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
  barrier.open()
  await until(() => app.rooms.ready)
  t.equal((await post(`${url}/rooms/${room}`, 2)).status, 200)
  const client = await connect(t, url, `/rooms?room=${room}&since=earliest`)
  await client.frame({ type: 'message', data: 2 })
  await app.rooms.disconnect({ connection: client.of('welcome')[0]!['connection'] }, 'commands are heard')
  t.match(await client.close(), { code: 4403 })
})

test("start: 'background' goes on where the broker refuses at first", async (t) => {
  let tries = 0
  const broker = ownBroker((inner) => ({ async start (events) { if (++tries < 2) throw new Error('ECONNREFUSED'); await inner.start(events) } }))
  const { app, url } = await startApp(t, { broker, brokerOptions: { start: 'background' } })
  t.equal(app.rooms.ready, false)
  await until(() => app.rooms.ready)
  t.equal((await post(`${url}/rooms/a`, 1)).status, 200)
})

test('closed before the broker is there', async (t) => {
  const barrier = new Barrier()
  const { app } = await startApp(t, { broker: ownBroker((inner) => ({ async start (events) { await barrier.pass(); await inner.start(events) } })), brokerOptions: { start: 'background' } })
  await until(() => barrier.waiting === 1)
  await app.close()
  barrier.open()
  t.equal(app.rooms.ready, false)
})

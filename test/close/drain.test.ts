import { test } from 'tap'
import { connect, newRoom, openStream, post, startApp, until, withKey } from '../helpers.js'
import { openRaw } from '../hostile/raw.js'

test('rooms.drain(): no new client, those who are here sent away; the server goes on answering', async (t) => {
  const { app, url } = await startApp(t, { clientPublish: true }, {}, (app) => { app.get('/health', async () => 'ok') })
  const room = newRoom()
  const client = await connect(t, url, `/rooms?room=${room}`)
  await client.frame({ type: 'subscribed' })
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  await stream.event({ event: 'subscribed' })
  t.equal(app.rooms.ready, true)
  const draining = app.rooms.drain()
  t.equal(app.rooms.ready, false, 'at once')
  await draining
  t.match(await client.close(), { code: 1001 })
  await until(() => stream.ended)
  t.match(app.rooms.stats(), { subscriptions: 0, connections: { websocket: 0, events: 0 } })

  const late = await connect(t, url, `/rooms?room=${room}`)
  t.match(await late.close(), { code: 1001 }, 'taken in, so that a browser can read why')
  t.strictSame(late.frames.map(({ type }) => type), ['welcome'])
  for (const path of [`/rooms/${room}`, '/rooms']) {
    const refused = await post(`${url}${path}`, { rooms: [room], data: 1 })
    t.match(refused, { status: 503, body: { code: 'FAN_OUT_ERR_CLOSING' } })
    t.match(refused.headers.get('retry-after'), /^\d+$/)
  }
  const refused = await fetch(`${url}/rooms/${room}/events`)
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  const again = await fetch(`${url}/rooms/${room}/events`, { headers: { 'last-event-id': '1-1' } })
  t.equal(again.status, 200)
  t.match(await again.text(), /^retry: \d+\n\n$/)
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.equal((await fetch(`${url}/rooms/${room}/history`)).status, 200, 'reading goes on')
  await app.rooms.publish(room, 'the process itself may still publish')
  await app.rooms.drain()
})

test('over a time: evenly, and until then the clients are served', async (t) => {
  const { app, url } = await startApp(t, { clientPublish: true })
  const room = newRoom()
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(t, url, `/rooms?room=${room}`, [], { headers: withKey })))
  await until(() => app.rooms.stats().subscriptions === 20)
  const start = performance.now()
  const gone: number[] = []
  for (const { websocket } of clients) websocket.on('close', () => gone.push(performance.now() - start))
  const draining = app.rooms.drain({ over: 3_000 })
  const last = clients[19]!
  last.send({ type: 'publish', room, data: 1, ref: 1 })
  await last.frame({ type: 'error', code: 'FAN_OUT_ERR_CLOSING', ref: 1 })
  await app.rooms.publish(room, 'still here')
  await last.frame({ type: 'message', data: 'still here' })
  await draining
  await until(() => gone.length === 20)
  t.ok(gone[0]! < 1_500, `the first after ${gone[0]} ms`)
  t.ok(gone[19]! > 2_500, `the last after ${gone[19]} ms`)
  t.ok(gone.filter((time) => time < 1_800).length < 16, 'not all at once')
  for (const over of [-1, NaN, Infinity, '1']) await t.rejects(app.rooms.drain({ over: over as number }), { code: 'FAN_OUT_ERR_INVALID_REQUEST' })
})

test('app.close() in the middle of a drain makes an end of it', async (t) => {
  const { app, url } = await startApp(t)
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t, url, '/rooms?room=a')))
  const draining = app.rooms.drain({ over: 60_000 })
  await Promise.all([app.close(), draining])
  for (const client of clients) t.match(await client.close(), { code: 1001 })
})

test('the option close.drain sends them away over that time at app.close()', async (t) => {
  const { app, url } = await startApp(t, { close: { drain: 400 } })
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect(t, url, '/rooms?room=a')))
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start > 300)
  for (const client of clients) t.match(await client.close(), { code: 1001 })
})

test('a drain ends also where its clients do not answer', async (t) => {
  const { app, url } = await startApp(t, { close: { timeout: 200 } })
  const deaf = await openRaw(t, url, '/rooms?room=a')
  deaf.socket.pause()
  await app.rooms.drain()
  t.match(app.rooms.stats().connections, { websocket: 0 })
})

test('who goes while a drain is under way is not missed', async (t) => {
  const { app, url } = await startApp(t)
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t, url, '/rooms?room=a')))
  const draining = app.rooms.drain({ over: 30_000 })
  for (const { websocket } of clients) websocket.terminate()
  await draining
  t.match(app.rooms.stats().connections, { websocket: 0 })
})

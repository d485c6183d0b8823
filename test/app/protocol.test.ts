import { test } from 'tap'
import { connect, newRoom, startApp, until } from '../helpers.js'

test('welcome comes first, with what a client needs to know', async (t) => {
  const { url } = await startApp(t, { heartbeat: { interval: 9_000 }, limits: { frame: 1_000, roomsPerConnection: 3, framesPerSecond: 7 } })
  const [one, two] = [await connect(t, url, '/rooms?room=a', ['fan-out.v1']), await connect(t, url)]
  await one.frame({ type: 'subscribed' })
  const welcome = await two.frame({ type: 'welcome' })
  t.match(one.frames[0], { type: 'welcome', protocol: 1, connection: String, server: String, heartbeat: 9_000, limits: { frame: 1_000, roomsPerConnection: 3, framesPerSecond: 7 } })
  t.not(one.frames[0]!['connection'], welcome['connection'])
  t.equal(one.frames[0]!['server'], welcome['server'])
})

test('many rooms on one connection, by the URL and by frames', async (t) => {
  const { app, url } = await startApp(t)
  const [a, b, c, d] = [newRoom(), newRoom(), newRoom(), `r\u00e4um/${newRoom()}?#&=%`]
  const client = await connect(t, url, `/rooms?room=${a}&room=${encodeURIComponent(d)}&room=${b}`)
  client.send({ type: 'subscribe', room: c, ref: 'c' })
  for (const room of [a, b, c, d]) {
    t.match(await client.frame({ type: 'subscribed', room }), { id: /^\d+-0$/, replayed: 0, recovered: undefined })
    t.notOk('recovered' in (await client.frame({ type: 'subscribed', room })), 'absent without a cursor')
  }
  for (const room of [a, b, c, d]) await app.rooms.publish(room, { room })
  for (const room of [a, b, c, d]) t.strictSame((await client.frame({ type: 'message', room })).data, { room })
  client.send({ type: 'unsubscribe', room: a, ref: 5 })
  t.strictSame(await client.frame({ type: 'unsubscribed' }), { type: 'unsubscribed', room: a, code: 'FAN_OUT_UNSUBSCRIBED', reason: 'asked for', ref: 5 })
  await app.rooms.publish(a, 'no more')
  await app.rooms.publish(b, 'still')
  await client.frame({ type: 'message', room: b, data: 'still' })
  t.equal(client.of('message', a).length, 1)
})

test('?since= stands for all rooms, or one for each', async (t) => {
  const { app, url } = await startApp(t)
  const [a, b] = [newRoom(), newRoom()]
  const ids = []
  for (const room of [a, a, b, b]) ids.push((await app.rooms.publish(room, ids.length)).id)
  const each = await connect(t, url, `/rooms?room=${a}&room=${b}&since=${ids[0]}&since=${ids[3]}`)
  t.match(await each.frame({ type: 'subscribed', room: a }), { id: ids[0], recovered: true, replayed: 1 })
  t.match(await each.frame({ type: 'subscribed', room: b }), { id: ids[3], recovered: true, replayed: 0 })
  const all = await connect(t, url, `/rooms?room=${a}&room=${b}&since=earliest`)
  t.match(await all.frame({ type: 'subscribed', room: a }), { replayed: 2 })
  t.match(await all.frame({ type: 'subscribed', room: b }), { replayed: 2 })
  const wrong = await connect(t, url, `/rooms?room=${a}&room=&room=${b}&since=x`)
  await until(() => wrong.of('error').length === 3)
  t.strictSame(wrong.of('error').map(({ code, room }) => [code, room]), [['FAN_OUT_ERR_INVALID_CURSOR', a], ['FAN_OUT_ERR_INVALID_ROOM', undefined], ['FAN_OUT_ERR_INVALID_CURSOR', b]])
  t.equal(wrong.closed, undefined, 'the connection lives on')
})

test('ref comes back as it was, a string or a number', async (t) => {
  const { url } = await startApp(t, { clientPublish: true, authorize: () => true })
  const room = newRoom()
  const client = await connect(t, url)
  for (const ref of ['', 'a', '\u00e4"\\\n', 'x'.repeat(64), 0, -1, 1.5, 2 ** 53]) {
    client.send({ type: 'ping', ref })
    t.strictSame(await client.frame({ type: 'pong', ref }), { type: 'pong', ref })
  }
  client.send({ type: 'ping' })
  t.strictSame(await until(() => client.of('pong').find((frame) => !('ref' in frame))), { type: 'pong' })
  client.send({ type: 'subscribe', room, ref: 's' })
  await client.frame({ type: 'subscribed', room, ref: 's' })
  client.send({ type: 'publish', room, data: 1, ref: 'p' })
  await client.frame({ type: 'published', room, ref: 'p' })
  client.send({ type: 'unsubscribe', room: 'none', ref: 'u' })
  await client.frame({ type: 'unsubscribed', room: 'none', ref: 'u' })
  for (const ref of ['x'.repeat(65), '\u00e4'.repeat(33), null, true, {}, ['a']]) client.send({ type: 'ping', ref })
  await until(() => client.of('error').length === 6)
  t.ok(client.of('error').every(({ code, ref }) => code === 'FAN_OUT_ERR_INVALID_FRAME' && ref === undefined))
})

test('what cannot be obeyed is answered, and the connection lives on', async (t) => {
  const { url } = await startApp(t, { limits: { roomsPerConnection: 2 } })
  const client = await connect(t, url, '/rooms?room=a')
  const frames: Array<[object, string, string?]> = [
    [{ type: 'dance' }, 'INVALID_FRAME'], [{ type: 'subscribe' }, 'INVALID_FRAME'], [{ type: 'subscribe', room: 7 }, 'INVALID_FRAME'],
    [{ type: 'subscribe', room: '' }, 'INVALID_ROOM'], [{ type: 'subscribe', room: 'a\n' }, 'INVALID_ROOM'], [{ type: 'subscribe', room: 'x'.repeat(201) }, 'INVALID_ROOM'],
    [{ type: 'subscribe', room: 'r', since: 'x' }, 'INVALID_CURSOR', 'r'], [{ type: 'subscribe', room: 'r', since: 1 }, 'INVALID_FRAME', 'r'],
    [{ type: 'subscribe', room: 'r', replay: -1 }, 'INVALID_FRAME', 'r'], [{ type: 'subscribe', room: 'r', replay: 1.5 }, 'INVALID_FRAME', 'r'],
    [{ type: 'subscribe', room: 'r', presence: 1 }, 'INVALID_FRAME', 'r'], [{ type: 'subscribe', room: 'r', presence: true }, 'NO_PRESENCE', 'r'],
    [{ type: 'publish', room: 'r' }, 'INVALID_FRAME', 'r'], [{ type: 'publish', room: 'r', data: 1 }, 'CLIENT_PUBLISH', 'r'], [{ type: 'unsubscribe' }, 'INVALID_FRAME']
  ]
  for (const [ref, [frame, code, room]] of frames.entries()) {
    client.send({ ...frame, ref })
    t.match(await client.frame({ type: 'error', ref }), { code: `FAN_OUT_ERR_${code}`, message: String, room })
  }
  client.send({ type: 'subscribe', room: 'b', unknown: { field: 1 }, ref: 'b' })
  await client.frame({ type: 'subscribed', ref: 'b' })
  client.send({ type: 'subscribe', room: 'c', ref: 'c' })
  t.match(await client.frame({ type: 'error', ref: 'c' }), { code: 'FAN_OUT_ERR_TOO_MANY_ROOMS', room: 'c' })
  client.send({ type: 'unsubscribe', room: 'b' })
  client.send({ type: 'subscribe', room: 'c', ref: 'c2' })
  await client.frame({ type: 'subscribed', ref: 'c2' })
})

test('a plain GET is told to upgrade', async (t) => {
  const { url } = await startApp(t)
  const response = await fetch(`${url}/rooms`)
  t.equal(response.status, 426)
  t.equal(response.headers.get('upgrade'), 'websocket')
  t.match(await response.json(), { statusCode: 426, code: 'FAN_OUT_ERR_UPGRADE_REQUIRED', error: 'Upgrade Required' })
})

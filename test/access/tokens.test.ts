import type { FanOutOptions } from '../../index.js'
import { test } from 'tap'
import { connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'

const authenticate: NonNullable<FanOutOptions['authenticate']> = async (_request, token) => {
  if (token === undefined) return null
  if (token.startsWith('bad')) throw new Error('no such token')
  return { user: token }
}

test('Authorization: Bearer', async (t) => {
  const { url } = await startApp(t, { authenticate })
  for (const authorization of ['Bearer alice', 'bearer alice', 'BEARER   alice  ']) {
    const client = await connect(t, url, '/rooms', [], { headers: { authorization } })
    await client.frame({ type: 'authenticated', user: 'alice' })
  }
  const basic = await connect(t, url, '/rooms?room=a', [], { headers: { authorization: 'Basic YWxpY2U6' } })
  await basic.frame({ type: 'subscribed' })
  t.strictSame(basic.of('authenticated'), [], 'another scheme is not for us')
})

test('a first frame', async (t) => {
  const { url } = await startApp(t, { authenticate })
  const client = await connect(t, url)
  client.send({ type: 'auth', token: 'alice', ref: 'r' })
  t.strictSame(await client.frame({ type: 'authenticated' }), { type: 'authenticated', user: 'alice', ref: 'r' })
  client.send({ type: 'auth', token: '', ref: 1 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_INVALID_FRAME', ref: 1 })
  client.send({ type: 'auth', ref: 2 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_INVALID_FRAME', ref: 2 })
})

test('a subprotocol, of which only the first is echoed', async (t) => {
  const { url } = await startApp(t, { authenticate })
  const client = await connect(t, url, '/rooms', ['fan-out.v1', 'bearer.alice'])
  t.equal(client.websocket.protocol, 'fan-out.v1')
  await client.frame({ type: 'authenticated', user: 'alice' })
  const turned = await connect(t, url, '/rooms', ['bearer.eyJh.b-c_d.e', 'fan-out.v1'])
  t.equal(turned.websocket.protocol, 'fan-out.v1', 'in whatever order')
  await turned.frame({ type: 'authenticated', user: 'eyJh.b-c_d.e' })
  const plain = await connect(t, url, '/rooms?room=a', ['fan-out.v1'])
  t.equal(plain.websocket.protocol, 'fan-out.v1')
  await plain.frame({ type: 'subscribed' })
})

test('the query, only where it is switched on', async (t) => {
  const on = await startApp(t, { authenticate, queryToken: true })
  const client = await connect(t, on.url, '/rooms?access_token=alice')
  await client.frame({ type: 'authenticated', user: 'alice' })
  t.equal((await fetch(`${on.url}/rooms/a/history?access_token=bad`)).status, 401)
  t.equal((await openStream(t, `${on.url}/rooms/a/events?access_token=bad`)).response.status, 401)
  t.equal((await openStream(t, `${on.url}/rooms/a/events?access_token=alice`)).response.status, 200)
  const twice = await connect(t, on.url, '/rooms?access_token=alice&access_token=bob&room=a')
  await twice.frame({ type: 'subscribed' })
  t.strictSame(twice.of('authenticated'), [], 'two tokens are none')

  const off = await startApp(t, { authenticate })
  const ignored = await connect(t, off.url, '/rooms?access_token=bad&room=a')
  await ignored.frame({ type: 'subscribed' })
  t.strictSame(ignored.of('authenticated'), [])
  t.equal((await fetch(`${off.url}/rooms/a/history?access_token=bad`)).status, 200)
})

test('preference: the header before the subprotocol, and that before the query', async (t) => {
  const { url } = await startApp(t, { authenticate, queryToken: true })
  const all = await connect(t, url, '/rooms?access_token=query', ['fan-out.v1', 'bearer.protocol'], { headers: { authorization: 'Bearer header' } })
  await all.frame({ type: 'authenticated', user: 'header' })
  const two = await connect(t, url, '/rooms?access_token=query', ['fan-out.v1', 'bearer.protocol'])
  await two.frame({ type: 'authenticated', user: 'protocol' })
  const worse = await connect(t, url, '/rooms?access_token=query', ['fan-out.v1', 'bearer.protocol'], { headers: { authorization: 'Bearer bad' } })
  t.match(await worse.close(), { code: 4401 }, 'a better way that fails is not helped by a worse one')
})

test('a bad token is taken in and closed with 4401, whichever way it came', async (t) => {
  const { app, url } = await startApp(t, { authenticate, queryToken: true })
  const room = newRoom()
  const ways = [
    () => connect(t, url, `/rooms?room=${room}`, [], { headers: { authorization: 'Bearer bad' } }),
    () => connect(t, url, `/rooms?room=${room}`, ['fan-out.v1', 'bearer.bad']),
    () => connect(t, url, `/rooms?room=${room}&access_token=bad`)
  ]
  for (const way of ways) {
    const client = await way()
    t.match(await client.close(), { code: 4401, reason: /refused/ })
    t.strictSame(client.frames.map(({ type }) => type), ['welcome'])
  }
  const client = await connect(t, url, `/rooms?room=${room}`)
  await client.frame({ type: 'subscribed' })
  client.send({ type: 'auth', token: 'bad' })
  t.match(await client.close(), { code: 4401 })
  await until(() => app.rooms.stats().subscriptions === 0)
})

test('a publish key by any way', async (t) => {
  const { url } = await startApp(t, { clientPublish: true })
  const room = newRoom()
  const client = await connect(t, url, '/rooms', ['fan-out.v1', `bearer.${withKey.authorization.slice(7)}`])
  client.send({ type: 'publish', room, data: 1 })
  await client.frame({ type: 'published', room })
  const framed = await connect(t, url)
  framed.send({ type: 'publish', room, data: 1, ref: 1 })
  await framed.frame({ type: 'error', code: 'FAN_OUT_ERR_UNAUTHORIZED', ref: 1 })
  framed.send({ type: 'auth', token: withKey.authorization.slice(7) })
  framed.send({ type: 'publish', room, data: 1, ref: 2 })
  await framed.frame({ type: 'published', ref: 2 })
})

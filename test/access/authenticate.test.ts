import type { FanOutOptions, Identity } from '../../index.js'
import { test } from 'tap'
import { connect, newRoom, openStream, post, startApp, until, withKey } from '../helpers.js'

const users: FanOutOptions['authenticate'] = async (_request, token) => {
  if (token === undefined) return null
  if (token.startsWith('bad')) throw new Error('no such token')
  return { user: token }
}

test('null is an anonymous client, which may subscribe where nothing says otherwise', async (t) => {
  const { app, url } = await startApp(t, { authenticate: () => null })
  const room = newRoom()
  const client = await connect(t, url, `/rooms?room=${room}`)
  await client.frame({ type: 'subscribed', room })
  t.strictSame(client.of('authenticated'), [], 'nobody sent a token')
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  t.equal(stream.response.status, 200)
  await app.rooms.publish(room, 1)
  await client.frame({ type: 'message', data: 1 })
  await stream.event({ event: 'message', data: '1' })
})

test('what throws or rejects refuses: 401, on a WebSocket 101 and then 4401', async (t) => {
  const throwing = (): never => { throw new Error('thrown') }
  const rejecting = async (): Promise<never> => { throw new Error('rejected') }
  // Also what is no Error, and what has a status of its own.
  const odd = (): never => { throw Object.assign(new Error('teapot'), { statusCode: 418, code: 'FAN_OUT_ERR_NOT_OURS' }) }
  const nothing = async (): Promise<never> => await Promise.reject() // eslint-disable-line prefer-promise-reject-errors
  for (const authenticate of [throwing, rejecting, odd, nothing]) {
    const { app, url } = await startApp(t, { authenticate })
    const room = newRoom()
    for (const path of ['events', 'history']) {
      const response = await fetch(`${url}/rooms/${room}/${path}`, { headers: { authorization: 'Bearer x' } })
      t.equal(response.status, 401)
      t.equal(response.headers.get('www-authenticate'), 'Bearer')
      t.match(await response.json(), { statusCode: 401, code: 'FAN_OUT_ERR_UNAUTHORIZED', error: 'Unauthorized' })
    }
    const client = await connect(t, url, `/rooms?room=${room}`, [], { headers: { authorization: 'Bearer x' } })
    t.match(await client.close(), { code: 4401 })
    t.strictSame(client.frames.map(({ type }) => type), ['welcome'])
    await until(() => app.rooms.stats().connections.websocket === 0)
  }
})

test('with no token there is time for an auth frame, and frames before it are refused', async (t) => {
  const { url } = await startApp(t, { authenticate: async (_request, token) => { if (token !== 'good') throw new Error('no'); return { user: 'u' } }, limits: { firstFrame: 300 } })
  const room = newRoom()
  const client = await connect(t, url, `/rooms?room=${room}`)
  client.send({ type: 'auth', token: 'good', ref: 7 })
  t.strictSame(await client.frame({ type: 'authenticated' }), { type: 'authenticated', user: 'u', ref: 7 })
  await client.frame({ type: 'subscribed', room })

  const hasty = await connect(t, url)
  hasty.send({ type: 'subscribe', room })
  t.match(await hasty.close(), { code: 4401, reason: /auth frame/ })
  t.strictSame(hasty.of('subscribed'), [])

  const silent = await connect(t, url)
  t.match(await silent.close(), { code: 4401, reason: /in time/ })

  const wrong = await connect(t, url)
  wrong.send({ type: 'auth', token: 'wrong' })
  t.match(await wrong.close(), { code: 4401, reason: /refused/ })
})

test('a slow authenticate: frames wait, in their order', async (t) => {
  let answer!: (identity: Identity) => void
  const { url } = await startApp(t, { authenticate: async () => await new Promise<Identity>((resolve) => { answer = resolve }) })
  const client = await connect(t, url, '/rooms', ['fan-out.v1', 'bearer.abc'])
  const room = newRoom()
  client.send({ type: 'ping', ref: 1 })
  client.send({ type: 'subscribe', room, ref: 2 })
  client.send({ type: 'ping', ref: 3 })
  await until(() => answer)
  await client.frame({ type: 'welcome' })
  t.equal(client.frames.length, 1)
  answer({ user: 'slow' })
  await client.frame({ type: 'subscribed', ref: 2 })
  t.strictSame(client.frames.map(({ type, ref }) => [type, ref]), [['welcome', undefined], ['authenticated', undefined], ['pong', 1], ['pong', 3], ['subscribed', 2]])
})

test('an authenticate that never answers ends with the time of the first frame', async (t) => {
  const { app, url } = await startApp(t, { authenticate: async () => await new Promise<null>(() => {}), limits: { firstFrame: 100 } })
  const client = await connect(t, url, '/rooms', ['fan-out.v1', 'bearer.abc'])
  t.match(await client.close(), { code: 4401 })
  await until(() => app.rooms.stats().connections.websocket === 0)
})

test('an identity that has run out is refused; one without a date never does', async (t) => {
  let expiresAt: unknown = Date.now() - 1
  const { url } = await startApp(t, { authenticate: () => ({ user: 'u', expiresAt }) as Identity })
  const room = newRoom()
  const headers = { authorization: 'Bearer x' }
  const refused = async (why: RegExp): Promise<void> => {
    const response = await fetch(`${url}/rooms/${room}/history`, { headers })
    t.equal(response.status, 401)
    t.match(await response.json(), { code: 'FAN_OUT_ERR_UNAUTHORIZED', message: why })
    const client = await connect(t, url, `/rooms?room=${room}`, [], { headers })
    t.match(await client.close(), { code: 4401, reason: why })
    t.strictSame(client.frames.map(({ type }) => type), ['welcome'])
  }
  await refused(/expired/)
  expiresAt = Number(undefined) * 1000 // the exp of a token that has none
  await refused(/refused/)
  expiresAt = undefined
  t.equal((await fetch(`${url}/rooms/${room}/history`, { headers })).status, 200)
})

test('an answer that is no identity refuses, rather than letting in somebody without a name', async (t) => {
  for (const answer of [undefined, false, 'user-1', 42, true, { user: 42 }]) {
    const { url } = await startApp(t, { authenticate: () => answer as never })
    const response = await fetch(`${url}/rooms/${newRoom()}/history`, { headers: { authorization: 'Bearer x' } })
    t.equal(response.status, 401, `for ${JSON.stringify(answer)}`)
  }
})

test('the request is there, with what the app has put on it', async (t) => {
  const seen: string[] = []
  const { url } = await startApp(t, {
    authenticate (request) {
      seen.push(`${request.method} ${request.url} ${request.ip} ${String((request as { tenant?: string }).tenant)}`)
      return { user: (request as { tenant?: string }).tenant ?? 'none' }
    }
  }, {}, (app) => {
    app.decorateRequest('tenant', '')
    app.addHook('onRequest', async (request) => { (request as { tenant?: string }).tenant = String(request.headers['x-tenant']) })
  })
  const headers = { 'x-tenant': 'acme' }
  const client = await connect(t, url, '/rooms?room=a', [], { headers })
  await client.frame({ type: 'authenticated', user: 'acme' })
  await fetch(`${url}/rooms/b/history`, { headers })
  t.strictSame(seen, ['GET /rooms?room=a 127.0.0.1 acme', 'GET /rooms/b/history 127.0.0.1 acme'])
})

test('a publish key stands beside authenticate, which is not asked about it', async (t) => {
  const asked: unknown[] = []
  const { url } = await startApp(t, { authenticate: async (request, token) => { asked.push(token); return await users(request, token) } })
  const room = newRoom()
  t.equal((await post(`${url}/rooms/${room}`, 1)).status, 200)
  t.strictSame(asked, [])
  t.equal((await post(`${url}/rooms/${room}`, 1, { authorization: 'Bearer alice' })).status, 401, 'a user without authorize has no key')
  t.equal((await post(`${url}/rooms/${room}`, 1, { authorization: 'Bearer bad' })).status, 401)
  t.strictSame(asked, ['alice', 'bad'])
  const client = await connect(t, url, `/rooms?room=${room}`, [], { headers: withKey })
  t.match(await client.frame({ type: 'authenticated' }), { user: undefined })
})

import type { AuthorizeContext, FanOutOptions } from '../../index.js'
import { test } from 'tap'
import { KEY, connect, newRoom, openStream, post, startApp, until, withKey } from '../helpers.js'

const authenticate: NonNullable<FanOutOptions['authenticate']> = async (_request, token) => token === undefined ? null : { user: token }
const as = (user: string): { authorization: string } => ({ authorization: `Bearer ${user}` })

test('authorize is asked for every route and frame, with all that it needs', async (t) => {
  const asked: Array<Omit<AuthorizeContext, 'request'> & { request: string }> = []
  const { url } = await startApp(t, {
    authenticate,
    authorize: ({ request, ...context }) => { asked.push({ ...context, request: `${request.method} ${request.url}` }); return true },
    presence: true,
    clientPublish: true
  })
  const next = (): unknown => asked.splice(0)
  const room = 'team:1'

  await post(`${url}/rooms/${room}`, 1, as('alice'))
  t.strictSame(next(), [{ action: 'publish', room, user: 'alice', request: `POST /rooms/${room}` }])
  await post(`${url}/rooms/${room}`, 1)
  t.strictSame(next(), [{ action: 'publish', room, key: 'test', request: `POST /rooms/${room}` }])
  await post(`${url}/rooms`, { messages: [{ room, data: 1 }, { room: 'b', data: 1 }, { room, data: 2 }] }, as('alice'))
  t.strictSame(next(), [{ action: 'publish', room, user: 'alice', request: 'POST /rooms' }, { action: 'publish', room: 'b', user: 'alice', request: 'POST /rooms' }], 'once for a room')
  await post(`${url}/rooms`, { rooms: [room, 'b'], data: 1 }, as('alice'))
  t.equal((next() as unknown[]).length, 2)
  await fetch(`${url}/rooms/${room}/history`)
  t.strictSame(next(), [{ action: 'subscribe', room, request: `GET /rooms/${room}/history` }], 'anonymous')
  await fetch(`${url}/rooms/${room}/presence`, { headers: as('bob') })
  t.strictSame(next(), [{ action: 'presence', room, user: 'bob', request: `GET /rooms/${room}/presence` }])
  await openStream(t, `${url}/rooms/${room}/events`, as('bob'))
  t.strictSame(next(), [{ action: 'subscribe', room, user: 'bob', request: `GET /rooms/${room}/events` }])

  const client = await connect(t, url, `/rooms?room=${room}`, [], { headers: as('carol') })
  await client.frame({ type: 'subscribed', room })
  const request = `GET /rooms?room=${room}`
  t.strictSame(next(), [{ action: 'subscribe', room, user: 'carol', request }])
  client.send({ type: 'subscribe', room: 'b', presence: true })
  await client.frame({ type: 'subscribed', room: 'b' })
  t.strictSame(next(), [{ action: 'subscribe', room: 'b', user: 'carol', request }, { action: 'presence', room: 'b', user: 'carol', request }])
  client.send({ type: 'publish', room: 'b', data: 1 })
  await client.frame({ type: 'published', room: 'b' })
  t.strictSame(next(), [{ action: 'publish', room: 'b', user: 'carol', request }])
  client.send({ type: 'unsubscribe', room: 'b' })
  await client.frame({ type: 'unsubscribed', room: 'b' })
  t.strictSame(next(), [], 'leaving is no right')
})

test('what throws, rejects or answers anything but true denies', async (t) => {
  const answers: Array<() => unknown> = [
    () => false, () => undefined, () => null, () => 'true', () => 1, () => ({}), () => [], () => { throw new Error('no') },
    async () => await Promise.reject(new Error('no')), async () => false, async () => 'yes', async () => {}
  ]
  for (const authorize of answers) {
    const { url } = await startApp(t, { authorize: authorize as never, presence: true, clientPublish: true })
    for (const path of ['a/history', 'a/events', 'a/presence']) {
      const response = await fetch(`${url}/rooms/${path}`, { headers: withKey })
      t.equal(response.status, 403)
      t.match(await response.json(), { statusCode: 403, code: 'FAN_OUT_ERR_FORBIDDEN', error: 'Forbidden' })
    }
    t.equal((await post(`${url}/rooms/a`, 1)).status, 403, 'a key only adds to what authorize is told')
    const client = await connect(t, url, '/rooms?room=a', [], { headers: withKey })
    await client.frame({ type: 'error', code: 'FAN_OUT_ERR_FORBIDDEN', room: 'a' })
    client.send({ type: 'publish', room: 'b', data: 1, ref: 1 })
    await client.frame({ type: 'error', code: 'FAN_OUT_ERR_FORBIDDEN', room: 'b', ref: 1 })
  }
})

test('who is denied and has shown nothing is asked to: 401', async (t) => {
  const { url } = await startApp(t, { authenticate, authorize: ({ user, key }) => user === 'alice' || key !== undefined })
  for (const path of ['a/history', 'a/events']) {
    const response = await fetch(`${url}/rooms/${path}`)
    t.equal(response.status, 401)
    t.equal(response.headers.get('www-authenticate'), 'Bearer')
    t.equal((await fetch(`${url}/rooms/${path}`, { headers: as('bob') })).status, 403)
  }
  const publish = await fetch(`${url}/rooms/a`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '1' })
  t.equal(publish.status, 401)
  t.equal(publish.headers.get('www-authenticate'), 'Bearer')
  const client = await connect(t, url, '/rooms?room=a')
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_UNAUTHORIZED', room: 'a' })
  client.send({ type: 'auth', token: 'alice' })
  client.send({ type: 'subscribe', room: 'a' })
  await client.frame({ type: 'subscribed', room: 'a' })
})

test('with keys and authorize alone, publishing without a key is 401 too: a key would help', async (t) => {
  const { url } = await startApp(t, { authorize: ({ action, key }) => action === 'subscribe' || key !== undefined })
  const publish = async (headers: Record<string, string>): Promise<Response> => await fetch(`${url}/rooms/a`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '1' })
  for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
    const response = await publish(headers as Record<string, string>)
    t.equal(response.status, 401)
    t.equal(response.headers.get('www-authenticate'), 'Bearer')
  }
  t.equal((await publish(withKey)).status, 200)
})

test('who is denied sees no byte of the room', async (t) => {
  const [open, secret] = [newRoom(), newRoom()]
  const { app, url } = await startApp(t, { authenticate, authorize: ({ room, user }) => room === open || user === 'insider', presence: true })
  const before = await app.rooms.publish(secret, 'the secret')
  const seen: string[] = []

  for (const path of [`history?since=${before.id}`, 'history?order=desc', 'events?since=earliest', `events?since=${before.id}`, 'presence', 'presence?x=1']) {
    const response = await fetch(`${url}/rooms/${secret}/${path}`, { headers: { ...as('outsider'), 'last-event-id': '1-1' } })
    t.equal(response.status, 403)
    seen.push(await response.text())
  }
  const client = await connect(t, url, `/rooms?room=${secret}&room=${open}&since=earliest`, [], { headers: as('outsider') })
  for (const [ref, more] of [{}, { since: 'earliest' }, { since: before.id }, { since: '1-1' }, { replay: 10 }, { presence: true }].entries()) {
    client.send({ type: 'subscribe', room: secret, ...more, ref })
    await client.frame({ type: 'error', ref })
  }
  const insider = await connect(t, url, `/rooms?room=${secret}`, [], { headers: as('insider') })
  await insider.frame({ type: 'subscribed' })
  await app.rooms.publish(secret, 'the secret again')
  await insider.frame({ type: 'message' })
  insider.websocket.close()
  await app.rooms.publish(open, 'seen')
  await client.frame({ type: 'message', data: 'seen' })
  await until(() => client.of('error').length === 7)
  t.ok(client.of('error').every(({ code }) => code === 'FAN_OUT_ERR_FORBIDDEN'))
  seen.push(JSON.stringify(client.frames))
  t.notMatch(seen.join('\n'), /the secret|insider/)
  t.notOk(client.frames.some(({ room, type }) => room === secret && type !== 'error'), 'not even that the room exists')
  t.notMatch(seen.join('\n'), before.id, 'nor where it stands')
})

test('a denied presence fails the subscribe as a whole', async (t) => {
  const { app, url } = await startApp(t, { authorize: ({ action }) => action === 'subscribe', presence: true })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, presence: true, ref: 1 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_UNAUTHORIZED', room, ref: 1 })
  t.strictSame(await app.rooms.presence(room), [])
  client.send({ type: 'subscribe', room, ref: 2 })
  await client.frame({ type: 'subscribed', ref: 2 })
})

test('a key is named to authorize only where it covers the room', async (t) => {
  const keys: unknown[] = []
  const { url } = await startApp(t, { publishKeys: [{ id: 'team', key: KEY, rooms: ['team:*'] }], authorize: ({ room, key }) => { keys.push([room, key]); return true } })
  await post(`${url}/rooms/team:1`, 1)
  await post(`${url}/rooms/other`, 1)
  t.strictSame(keys, [['team:1', 'team'], ['other', undefined]])
})

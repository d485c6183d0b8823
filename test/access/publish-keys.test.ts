import { test } from 'tap'
import { connect, newRoom, post, startApp } from '../helpers.js'

const bearer = (key: string): { authorization: string } => ({ authorization: `Bearer ${key}` })

test('without a key, with a wrong one, with one for other rooms: 401, 401, 403', async (t) => {
  const { url } = await startApp(t, { publishKeys: [{ id: 'a', key: 'key-a', rooms: ['a:*'] }], presence: true })
  const publish = async (room: string, headers: object): Promise<{ status: number, code: string, challenge: string | null }> => {
    const response = await fetch(`${url}/rooms/${room}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '{}' })
    const { code } = await response.json() as { code: string }
    return { status: response.status, code, challenge: response.headers.get('www-authenticate') }
  }
  const unauthorized = { status: 401, code: 'FAN_OUT_ERR_UNAUTHORIZED', challenge: 'Bearer' }
  t.strictSame(await publish('a:1', {}), unauthorized)
  for (const wrong of ['wrong', 'key-', 'key-aa', 'KEY-A', 'a', '*']) t.strictSame(await publish('a:1', bearer(wrong)), unauthorized, wrong)
  t.strictSame(await publish('a:1', { authorization: 'key-a' }), unauthorized, 'without its scheme')
  t.strictSame(await publish('a:1', { authorization: 'Basic key-a' }), unauthorized)
  t.match(await publish('b:1', bearer('key-a')), { status: 403, code: 'FAN_OUT_ERR_FORBIDDEN', challenge: null })
  t.match(await publish('a', bearer('key-a')), { status: 403 })
  t.match(await publish('A:1', bearer('key-a')), { status: 403 }, 'rooms have case')
  t.match(await publish('a:1', bearer('key-a')), { status: 200 })
  t.match(await publish('a:', bearer('key-a')), { status: 200 }, '* is also nothing')
  t.equal((await fetch(`${url}/rooms/a:1/presence`)).status, 401, 'presence too needs a key')
  t.equal((await fetch(`${url}/rooms/b:1/presence`, { headers: bearer('key-a') })).status, 403)
  t.equal((await fetch(`${url}/rooms/a:1/presence`, { headers: bearer('key-a') })).status, 200)
})

test('the body of who may not publish is not read', async (t) => {
  const { url } = await startApp(t)
  const response = await fetch(`${url}/rooms/a`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'not JSON' })
  t.equal(response.status, 401)
})

test('several keys are good at once, each for its patterns', async (t) => {
  const { url } = await startApp(t, {
    publishKeys: [
      { id: 'old', key: 'one', rooms: ['news', 'chat:*:public'] },
      { id: 'new', key: 'two' },
      { id: 'all', key: 'three', rooms: ['x', '*'] }
    ]
  })
  const status = async (room: string, key: string): Promise<number> => (await post(`${url}/rooms/${encodeURIComponent(room)}`, 1, bearer(key))).status
  t.equal(await status('news', 'one'), 200)
  t.equal(await status('newspaper', 'one'), 403)
  t.equal(await status('chat:42:public', 'one'), 200)
  t.equal(await status('chat:42:private', 'one'), 403)
  t.equal(await status('chat:public', 'one'), 403, 'the stars may be empty, what is around them not')
  t.equal(await status('anything', 'two'), 200)
  t.equal(await status('anything', 'three'), 200)
  // A pattern's other signs stand for themselves.
  t.equal(await status('chat:x:publicX', 'one'), 403)
})

test('a batch fails entry by entry', async (t) => {
  const { app, url } = await startApp(t, { publishKeys: [{ id: 'a', key: 'key-a', rooms: ['a:*'] }] })
  const messages = [{ room: 'a:1', data: 1 }, { room: 'b:1', data: 2 }, { room: 'a:2', data: 3 }, { room: '', data: 4 }, { room: 7, data: 5 }, { data: 6 }]
  const { status, body } = await post(`${url}/rooms`, { messages }, bearer('key-a'))
  t.equal(status, 200)
  t.equal(body.failed, 4)
  t.match(body.results[0], { room: 'a:1', id: /^\d+-1$/ })
  t.match(body.results[1], { room: 'b:1', error: { statusCode: 403, code: 'FAN_OUT_ERR_FORBIDDEN', message: /cover/ } })
  t.match(body.results[2], { room: 'a:2', id: /^\d+-1$/ })
  for (const result of body.results.slice(3)) t.match(result, { error: { statusCode: 400, code: 'FAN_OUT_ERR_INVALID_ROOM' } })
  t.strictSame((await app.rooms.history('b:1')).messages, [])
  const many = await post(`${url}/rooms`, { rooms: ['a:1', 'b:1'], data: 'x' }, bearer('key-a'))
  t.match(many.body, { failed: 1, results: [{ room: 'a:1' }, { room: 'b:1', error: { statusCode: 403 } }] })
})

test('clients publish only where that is switched on, and then with the same rights', async (t) => {
  const off = await startApp(t)
  const room = newRoom()
  const silent = await connect(t, off.url, '/rooms', [], { headers: bearer('the-key-of-the-tests') })
  silent.send({ type: 'publish', room, data: 1, ref: 1 })
  t.match(await silent.frame({ type: 'error', ref: 1 }), { code: 'FAN_OUT_ERR_CLIENT_PUBLISH', room })
  t.strictSame((await off.app.rooms.history(room)).messages, [])

  const on = await startApp(t, { clientPublish: true, publishKeys: [{ id: 'a', key: 'key-a', rooms: ['a:*'] }] })
  const nobody = await connect(t, on.url)
  nobody.send({ type: 'publish', room: 'a:1', data: 1, ref: 1 })
  await nobody.frame({ type: 'error', code: 'FAN_OUT_ERR_UNAUTHORIZED', ref: 1 })
  const client = await connect(t, on.url, '/rooms', [], { headers: bearer('key-a') })
  client.send({ type: 'publish', room: 'a:1', data: null, ref: 1 })
  t.match(await client.frame({ type: 'published', ref: 1 }), { room: 'a:1', id: /-1$/ })
  client.send({ type: 'publish', room: 'b:1', data: 1, ref: 2 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_FORBIDDEN', ref: 2, room: 'b:1' })
  t.strictSame((await on.app.rooms.history('a:1')).messages.map(({ data }) => data), [null])
})

test('an idempotency key belongs to its publisher, on HTTP and WebSocket alike', async (t) => {
  const { app, url } = await startApp(t, {
    clientPublish: true,
    publishKeys: [{ id: 'one', key: 'key-1' }, { id: 'two', key: 'key-2' }],
    authenticate: async (_request, token) => token === undefined ? null : { user: token },
    authorize: () => true
  })
  const room = newRoom()
  const publish = async (token: string, key = 'k'): Promise<{ id: string, duplicate?: boolean }> => (await post(`${url}/rooms/${room}`, token, { ...bearer(token), 'idempotency-key': key })).body
  const first = await publish('key-1')
  t.equal(first.duplicate, undefined)
  t.strictSame(await publish('key-1'), { ...first, duplicate: true })
  for (const other of ['key-2', 'alice', 'one', 'key:one']) t.equal((await publish(other)).duplicate, undefined, `${other} is another publisher`)
  t.equal((await app.rooms.publish(room, 'app', { idempotencyKey: 'k' })).duplicate, false, 'so is the app itself')
  t.equal((await publish('alice', 'k2')).duplicate, undefined)

  const client = await connect(t, url, '/rooms', [], { headers: bearer('key-1') })
  client.send({ type: 'publish', room, data: 1, idempotencyKey: 'k', ref: 1 })
  t.match(await client.frame({ type: 'published', ref: 1 }), { id: first.id, duplicate: true })
  // A publisher's name and the key are not merely put together.
  t.equal((await publish('a', 'b')).duplicate, undefined)
  t.equal((await publish('a\tb', 'b')).duplicate, undefined)
})

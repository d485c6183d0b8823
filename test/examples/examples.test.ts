import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import WebSocket from 'ws'
import { connect, openStream, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { folder, run, serve } from './running.js'

function post (url: string, body: string): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { authorization: 'Bearer a-secret-of-the-backend', 'content-type': 'application/json' }, body })
}

test('every example says how to run it, and stands in the list and in here', async (t) => {
  const list = readFileSync(new URL('README.md', folder), 'utf8')
  const here = ['examples.test.ts', 'pages.test.ts'].map((name) => readFileSync(new URL(name, import.meta.url), 'utf8')).join('')
  for (const name of readdirSync(folder)) {
    if (name === 'README.md') continue
    t.match(list, name.includes('.') ? `(${name})` : `(${name}/`)
    t.match(here, name)
  }
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.includes('use-room/')) continue
    t.match(readFileSync(new URL(name, folder), 'utf8').slice(0, 1500), `examples/${name}`)
  }
})

test('basic.ts: the pages are served, and what is posted arrives', async (t) => {
  const { url } = await serve(t, 'basic.ts')
  t.match(await (await fetch(`${url}/websocket.html`)).text(), 'new WebSocket')
  t.match(await (await fetch(`${url}/eventsource.html`)).text(), 'new EventSource')
  const client = await connect(t, url, '/rooms?room=news')
  await client.frame({ type: 'subscribed' })
  const stream = await openStream(t, `${url}/rooms/news/events`)
  await stream.event({ event: 'subscribed' })
  t.equal((await post(`${url}/rooms/news`, '{"hello":"world"}')).status, 200)
  t.match(await client.frame({ type: 'message' }), { room: 'news', data: { hello: 'world' } })
  t.match(await stream.event({ event: 'message' }), { data: '{"hello":"world"}' })
})

test('redis.ts', async (t) => {
  process.env['REDIS_URL'] = (await RedisServer.start(t)).url
  const output = await run(t, 'redis.ts')
  t.equal(output.replace(/ +$/gm, ''), 'subscribed\nreceived published here\nreceived published there\nsubscribed recovered true\nreceived while nobody listened\n')
})

test('batch.ts', async (t) => {
  const output = await run(t, 'batch.ts')
  t.match(output, '"failed": 1')
  t.match(output, 'FAN_OUT_ERR_INVALID_ROOM')
  t.match(output, '"duplicate": true')
  t.match(output, '"failed": 0')
})

test('history.ts', async (t) => {
  const output = await run(t, 'history.ts')
  t.match(output, 'page [ 2, 3 ]\npage [ 4, 5 ]\npage [ 6 ]\nnewest [ 6 ]\nsince the first: complete false')
})

test('auth-jwt.ts', async (t) => {
  const { url } = await serve(t, 'auth-jwt.ts')
  const token = await (await fetch(`${url}/login?user=ada`, { method: 'POST' })).text()
  const status = async (room: string, authorization?: string): Promise<number> =>
    (await fetch(`${url}/rooms/${room}/history`, { headers: { ...(authorization !== undefined && { authorization }) } })).status
  t.equal(await status('chat:ada', `Bearer ${token}`), 200)
  t.equal(await status('chat:bob', `Bearer ${token}`), 403)
  t.equal(await status('chat:ada'), 401)
  t.equal((await post(`${url}/rooms/chat:ada`, '1')).status, 200)
  const client = await connect(t, url, '/rooms?room=chat:ada')
  client.send({ type: 'auth', token })
  t.match(await client.frame({ type: 'authenticated' }), { user: 'ada', expiresAt: Number })
  await client.frame({ type: 'subscribed' })
})

test('swagger.ts', async (t) => {
  const { url } = await serve(t, 'swagger.ts')
  const { paths } = await (await fetch(`${url}/openapi.json`)).json() as { paths: Record<string, object> }
  t.same(Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`)).sort(), [
    'get /rooms', 'get /rooms/{room}/events', 'get /rooms/{room}/history', 'get /rooms/{room}/presence', 'post /rooms', 'post /rooms/{room}'
  ])
})

test('snapshot.ts', async (t) => {
  t.equal(await run(t, 'snapshot.ts'), [
    'first snapshot {"ada":1,"bob":2}',
    'first message {"player":"ada","points":3}',
    'second recovered true',
    'second message {"player":"bob","points":5}\n'
  ].join('\n'))
})

test('in-process.ts', async (t) => {
  const output = await run(t, 'in-process.ts')
  t.match(output, 'handled 1\nhandled 2\nhandled 3\n')
  t.match(output, 'recovered true replayed 2\nreplayed 2\nreplayed 3\n')
  t.match(output, 'published, duplicate: false\npublished, duplicate: true\nFAN_OUT_ERR_INVALID_ROOM\npublished 4\n')
})

test('presence.ts', async (t) => {
  const output = await run(t, 'presence.ts')
  t.match(output, /^join .*"user":"bob"/m)
  t.match(output, 'members 2 ada bob')
  t.match(output, /^leave .*"user":"bob"/m)
})

test('idempotent-publisher.ts', async (t) => {
  t.equal(await run(t, 'idempotent-publisher.ts'), 'attempt 1: the answer was lost\nduplicate true\nmessages in the room 1\n')
})

test('own-broker.ts', async (t) => {
  const output = await run(t, 'own-broker.ts')
  t.match(output, /^live .*"data":"hello"/)
  t.match(output, /^recovered false\ntold .*"reason":"expired"/m)
})

test('own-broker.test.ts: no-window-broker.ts keeps the contract', async (t) => {
  const output = await run(t, 'own-broker.test.ts', '--test', '--test-reporter=tap')
  t.match(output, /ok \d+ - whoever comes back is told a gap/)
  t.match(output, /^# fail 0$/m)
})

test('testing.test.ts', async (t) => {
  t.match(await run(t, 'testing.test.ts', '--test', '--test-reporter=tap'), '# pass 3')
})

test('closing.ts: not ready, 1001, and an end', async (t) => {
  const { url, child, exited } = await serve(t, 'closing.ts')
  const clients = [await connect(t, url), await connect(t, url)]
  t.equal((await fetch(`${url}/ready`)).status, 200)
  child.kill('SIGTERM')
  await until(async () => (await fetch(`${url}/ready`)).status === 503, 'it is not ready')
  for (const client of clients) t.equal((await client.close()).code, 1001)
  t.equal(await exited, 0)
})

test('with-others.ts', async (t) => {
  const { url, output } = await serve(t, 'with-others.ts')
  t.notMatch(output(), '"level":40', 'no warning')
  const echo = new WebSocket(`${url.replace('http', 'ws')}/echo`)
  t.teardown(() => echo.terminate())
  await once(echo, 'open')
  echo.send('hello')
  t.equal(String((await once(echo, 'message'))[0]), 'hello')

  const origin = 'http://localhost:8080'
  await (await connect(t, url, '/rooms?room=a', [], { headers: { origin } })).frame({ type: 'subscribed' })
  await (await connect(t, url, '/internal?room=a')).frame({ type: 'subscribed' })
  t.same(await (await fetch(`${url}/count`)).json(), { rooms: 1, internal: 1 })
  const stream = await openStream(t, `${url}/rooms/a/events`, { origin })
  t.equal(stream.response.headers.get('access-control-allow-origin'), origin)
  t.ok(stream.response.headers.get('content-security-policy'))
  t.equal((await fetch(`${url}/rooms/${'a'.repeat(200)}/history`)).status, 200)
})

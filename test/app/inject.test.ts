import type { ClientHttp2Session } from 'node:http2'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { KEY, newRoom, until, withKey } from '../helpers.js'

const options = { publishKeys: [{ id: 'k', key: KEY }] }

test('app.inject: publish, batch, history', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fanOut, options)
  const room = newRoom()
  const published = await app.inject({ method: 'POST', url: `/rooms/${room}`, headers: withKey, payload: { x: 1 } })
  t.equal(published.statusCode, 200)
  t.match(published.json(), { room, id: /-1$/ })
  t.match((await app.inject({ method: 'POST', url: '/rooms', headers: withKey, payload: { rooms: [room], data: 2 } })).json(), { failed: 0 })
  t.match((await app.inject(`/rooms/${room}/history`)).json(), { messages: [{ data: { x: 1 } }, { data: 2 }] })
  t.equal((await app.inject('/rooms')).statusCode, 426)
  t.equal((await app.inject({ method: 'POST', url: `/rooms/${room}`, payload: { x: 1 } })).statusCode, 401)
  t.equal((await app.inject({ method: 'POST', url: `/rooms/${room}`, headers: { ...withKey, 'content-type': 'application/json' }, payload: 'x'.repeat(2 ** 20 + 1) })).statusCode, 413)
})

test('app.inject of a stream', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fanOut, options)
  const room = newRoom()
  await app.rooms.publish(room, 'x')
  const response = await app.inject({ url: `/rooms/${room}/events?since=earliest`, payloadAsStream: true })
  let text = ''
  response.stream().on('data', (chunk) => { text += String(chunk) })
  await until(() => text.includes('data: "x"'))
  t.equal(response.headers['content-type'], 'text/event-stream')
  response.stream().destroy()
  await app.close()
})

test('app.injectWS', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fanOut, { ...options, authenticate: (_request, token) => token === undefined ? null : { user: token } })
  await app.ready()
  const room = newRoom()
  const frames: Array<{ type: string, [name: string]: unknown }> = []
  const socket = await app.injectWS(`/rooms?room=${room}`, { headers: { authorization: 'Bearer alice' } } as never, { onInit: (socket) => { socket.on('message', (data) => frames.push(JSON.parse(String(data)))) } })
  await until(() => frames.some(({ type }) => type === 'subscribed'))
  t.match(frames.map(({ type }) => type), ['welcome', 'authenticated', 'subscribed'])
  await app.rooms.publish(room, 'x')
  await until(() => frames.some(({ type, data }) => type === 'message' && data === 'x'))
  socket.send('{"type":"ping","ref":1}')
  await until(() => frames.some(({ type }) => type === 'pong'))
  socket.terminate()
  await until(() => app.rooms.stats().connections.websocket === 0)
  await t.rejects(app.injectWS('/rooms', { headers: { origin: 'https://evil.example', host: 'a.example' } } as never), /403/)
})

test('event streams over HTTP/2', async (t) => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(fanOut as never, options)
  const rooms = (app as unknown as { rooms: import('../../index.js').FanOutRooms }).rooms
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const session: ClientHttp2Session = connectHttp2(url)
  t.teardown(() => session.destroy())
  const room = newRoom()
  const stream = session.request({ ':path': `/rooms/${room}/events` })
  const [headers] = await once(stream, 'response') as [Record<string, unknown>]
  t.equal(headers[':status'], 200)
  t.equal(headers['content-type'], 'text/event-stream')
  t.notOk('connection' in headers)
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk) => { text += String(chunk) })
  await until(() => text.includes('event: subscribed'))
  const post = session.request({ ':method': 'POST', ':path': `/rooms/${room}`, 'content-type': 'application/json', ...withKey })
  post.end('"two"')
  const [answer] = await once(post, 'response') as [Record<string, unknown>]
  t.equal(answer[':status'], 200)
  await until(() => text.includes('data: "two"'))
  stream.close()
  await until(() => rooms.stats().connections.events === 0)
  const last = session.request({ ':path': `/rooms/${room}/events` })
  await once(last, 'response')
  last.resume()
  // Fastify itself waits for the sessions of HTTP/2 until their clients end them.
  const closing = app.close()
  await until(() => last.closed)
  session.destroy()
  await closing
})

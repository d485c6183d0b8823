import type { FastifyInstance } from 'fastify'
import { connect as connectHttp2, constants } from 'node:http2'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { connect, newRoom, startApp, until, withKey } from '../helpers.js'
import { Bystander, holdings } from './bystander.js'
import { clientFrame, dial, handshake, openRaw } from './raw.js'

/** A question that the app answers when it is told to. */
class Door {
  readonly asked: Array<(answer: boolean) => void> = []
  ask = (): Promise<boolean> => new Promise((resolve) => { this.asked.push(resolve) })
  open (): void {
    for (const answer of this.asked.splice(0)) answer(true)
  }
}

test('a reset while the app is asked leaves nothing behind', async (t) => {
  const rejections: unknown[] = []
  const listener = (error: unknown): void => { rejections.push(error) }
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const door = new Door()
  const { app, url } = await startApp(t, {
    linger: 0,
    presence: true,
    clientPublish: true,
    authenticate: async (_request, token) => token === 'slow' && await door.ask() ? { user: 'u' } : null,
    authorize: async ({ room }) => room?.startsWith('slow') === true ? await door.ask() : true
  })
  const settled = holdings(app)
  const publish = { type: 'publish', room: 'other', data: 1 }

  const cases: Array<[string, string, object[], Record<string, string>?]> = [
    ['authenticate, with rooms in the URL', '/rooms?room=a&room=b', [], { authorization: 'Bearer slow' }],
    ['authenticate, with frames that wait', '/rooms', [{ type: 'subscribe', room: 'a' }, publish], { authorization: 'Bearer slow' }],
    ['authenticate by an auth frame, with more behind it', '/rooms', [{ type: 'auth', token: 'slow' }, { type: 'subscribe', room: 'c' }]],
    ['authorize of a subscribe', '/rooms', [{ type: 'subscribe', room: 'slow' }, { type: 'unsubscribe', room: 'slow' }, { type: 'subscribe', room: 'slow' }]],
    ['authorize of a subscribe with presence', '/rooms?room=slow1', [{ type: 'subscribe', room: 'slow2', presence: true }]],
    ['authorize of a publish', '/rooms', [{ type: 'publish', room: 'slow', data: 1 }, { type: 'subscribe', room: 'slow' }]]
  ]
  for (const [name, path, frames, headers] of cases) {
    const client = await openRaw(t, url, path, headers)
    for (const frame of frames) client.send(frame)
    await until(() => door.asked.length > 0, name)
    client.socket.resetAndDestroy()
    await until(() => app.rooms.stats().connections.websocket === 0, `${name}: the server has seen the reset`)
    door.open()
    await new Promise(setImmediate)
    door.open()
    await until(() => app.rooms.stats().subscriptions === 0, `${name}: no subscription is left`)
  }

  for (const path of ['/rooms/slow/events', '/rooms/slow/history', '/rooms/a/events']) {
    const client = await dial(t, url)
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${path.includes('/a/') ? 'Authorization: Bearer slow\r\n' : ''}\r\n`)
    await until(() => door.asked.length > 0, path)
    client.socket.resetAndDestroy()
    const seen = await connect(t, url) // by the time it is welcome, the server has seen the reset
    await seen.frame({ type: 'welcome' })
    seen.websocket.close()
    await seen.close()
    door.open()
    await new Promise(setImmediate)
    door.open()
    await until(() => app.rooms.stats().subscriptions === 0, `${path}: no subscription is left`)
  }
  await settled(t)
  t.same(rejections, [])
})

test('a stream of HTTP/2 that is reset while the app is asked', async (t) => {
  const door = new Door()
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(fanOut as never, { authenticate: async () => { await door.ask(); return null } })
  const session = connectHttp2(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': '/rooms/a/events' })
  stream.on('error', () => {})
  await until(() => door.asked.length === 1)
  stream.close(constants.NGHTTP2_CANCEL)
  await new Promise((resolve) => session.ping(resolve)) // by its answer, the server has seen the reset
  door.open()
  await new Promise(setImmediate)
  const { rooms } = app as unknown as FastifyInstance
  await until(() => rooms.stats().connections.events === 0 && rooms.stats().subscriptions === 0)
})

test('frames in the packet of the handshake', async (t) => {
  const door = new Door()
  const { app, url } = await startApp(t, {
    clientPublish: true,
    authenticate: async (_request, token) => { if (token === 'slow') await door.ask(); return { user: 'u' } },
    hooks: { onRequest: async (request) => { if (request.headers['x-slow'] !== undefined) await door.ask() } }
  })
  for (const headers of [{}, { 'X-Slow': '1' }, { Authorization: 'Bearer slow' }] as Array<Record<string, string>>) {
    const room = newRoom()
    const client = await dial(t, url)
    client.write(Buffer.concat([
      Buffer.from(handshake(url, '/rooms', headers)),
      clientFrame(JSON.stringify({ type: 'subscribe', room, ref: 1 })), clientFrame('{"type":"ping","ref":2}').subarray(0, 9)
    ]))
    if (headers['X-Slow'] !== undefined || headers['Authorization'] !== undefined) {
      await until(() => door.asked.length > 0)
      door.open()
    }
    await client.message({ type: 'subscribed', ref: 1 })
    await app.rooms.publish(room, 'hello')
    await client.message({ type: 'message', data: 'hello' })
    t.equal(client.messages[0]?.type, 'welcome')
    client.socket.destroy()
  }
})

test('a foreign page cannot open a WebSocket with the cookies of its visitor', async (t) => {
  let asked = 0
  const { app, url } = await startApp(t, { authenticate: (request) => { asked++; return request.headers.cookie === undefined ? null : { user: 'victim' } } })
  const { host } = new URL(url)
  const refused = [
    'http://evil.example', `http://${host}.evil.example`, `http://evil.example/${host}`, `http://${host.replace(/:\d+$/, ':1')}`, 'null', '', 'http://', `${host}`, `http://evil@${host}.example`,
    'file://', `http://${host}, http://evil.example`
  ]
  for (const origin of refused) {
    const client = await dial(t, url)
    client.write(handshake(url, '/rooms?room=a', { Origin: origin, Cookie: 'session=secret' }))
    await until(() => client.head !== '')
    t.match(client.head, /^HTTP\/1\.1 403 /, `Origin: ${origin}`)
    client.socket.destroy()
  }
  t.equal(asked, 0, 'nobody was asked who it is')
  t.equal(app.rooms.stats().connections.websocket, 0)
  const own = await openRaw(t, url, '/rooms', { Origin: `http://${host}`, Cookie: 'session=secret' })
  await own.message({ type: 'authenticated', user: 'victim' })
})

test('a flood of upgrades, whole, half, and wrong', async (t) => {
  const { app, url } = await startApp(t, { linger: 0, limits: { connections: 60 } })
  const settled = holdings(app)
  const bystander = await Bystander.start(t, app, url)
  const wrong: Array<[string, RegExp]> = [
    [handshake(url).replace('Sec-WebSocket-Version: 13', 'Sec-WebSocket-Version: 12'), / 400 | 426 /],
    [handshake(url).replace(/Sec-WebSocket-Key: .*\r\n/, ''), / 400 /],
    [handshake(url).replace('Upgrade: websocket', 'Upgrade: h2c'), / 400 /],
    [handshake(url, '/rooms/a').replace('GET', 'POST'), / 401 | 404 | 405 /],
    [handshake(url, '/nowhere'), / 404 /],
    [handshake(url, '/rooms/%E0%A4%A'), / 400 /],
    [handshake(url, `/rooms/${'x'.repeat(101)}`), / 414 /],
    [handshake(url, '/rooms', { 'Sec-WebSocket-Protocol': 'a, a' }), / 400 /],
    ['GET /rooms HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', / 400 /],
    ['GET /rooms HTTP/9.9\r\n\r\n', / 400 /]
  ]
  for (let round = 0; round < 3; round++) {
    const clients = await Promise.all(Array.from({ length: 150 }, () => dial(t, url)))
    const taken = clients.slice(0, 100)
    for (const client of taken) client.write(handshake(url, '/rooms?room=a'))
    for (const client of clients.slice(100)) client.write(handshake(url).slice(0, -2)) // never whole
    await until(() => taken.every(({ messages }) => messages.length > 0))
    await until(() => taken.filter(({ closeCode }) => closeCode === 1013).length === 42, '42 are sent away')
    t.equal(taken.filter(({ messages }) => messages.some(({ type }) => type === 'subscribed')).length, 58)
    for (const client of clients) client.socket.resetAndDestroy()
    await until(() => app.rooms.stats().connections.websocket === 1)
  }
  for (const [bytes, expected] of wrong) {
    const client = await dial(t, url)
    client.write(bytes)
    await until(() => client.ended)
    t.match(client.head, expected, bytes.slice(0, 40))
  }
  // An upgrade whose body never comes.
  const post = await dial(t, url)
  post.write(handshake(url, '/rooms/a', { Authorization: withKey.authorization, 'Content-Type': 'application/json', 'Content-Length': '3' }).replace('GET', 'POST') + '123')
  await bystander.prove(t)
  post.socket.destroy()
  await bystander.end()
  await settled(t)
})

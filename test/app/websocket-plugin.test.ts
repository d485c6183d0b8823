import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Socket } from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { KEY, connect, newRoom, startApp, until } from '../helpers.js'

/** A route of the app's own, which sends back what comes. */
function addEcho (app: FastifyInstance): void {
  app.register(async (scope) => {
    scope.get('/echo', { websocket: true }, (socket) => { socket.on('message', (data) => { socket.send(`{"type":"echo","data":${String(data)}}`) }) })
  })
}

const publishKeys = [{ id: 'k', key: KEY }]

test("the app's own @fastify/websocket, registered before us", async (t) => {
  const { app, url } = await startApp(t, {}, {}, async (app) => {
    await app.register(websocket, { options: { maxPayload: 65_536 } })
    addEcho(app)
  })
  const room = newRoom()
  const ours = await connect(t, url, `/rooms?room=${room}`, ['fan-out.v1', 'bearer.x'])
  t.equal(ours.websocket.protocol, 'fan-out.v1')
  await ours.frame({ type: 'subscribed' })
  const theirs = await connect(t, url, '/echo')
  theirs.send('1')
  await theirs.frame({ type: 'echo', data: 1 })
  await app.close()
  t.match(await ours.close(), { code: 1001 }, 'and not 1005')
  await theirs.close()
})

test("our own @fastify/websocket also serves the app's routes, and closes them", async (t) => {
  const { app, url } = await startApp(t)
  t.ok(app.websocketServer)
  const later = Fastify()
  t.teardown(() => later.close())
  await later.register(fanOut, { publishKeys })
  addEcho(later)
  const address = await later.listen({ port: 0 })
  const theirs = await connect(t, address, '/echo')
  theirs.send('"hello"')
  await theirs.frame({ type: 'echo', data: 'hello' })
  const ours = await connect(t, address, '/rooms?room=a')
  await ours.frame({ type: 'subscribed' })
  await later.close()
  t.match(await theirs.close(), { code: 1001 })
  t.match(await ours.close(), { code: 1001 })
  t.ok(url)
})

test("a larger maxPayload of the app's is warned of, and ours holds all the same", async (t) => {
  let log = ''
  const stream = new Writable({ write (chunk, _encoding, done) { log += String(chunk); done() } })
  for (const maxPayload of [undefined, 10_000_000]) {
    log = ''
    const { url } = await startApp(t, { limits: { frame: 1_000 } }, { logger: { level: 'warn', stream } }, async (app) => { await app.register(websocket, { options: maxPayload === undefined ? {} : { maxPayload } }) })
    t.match(log, /"level":40.*frames of \d+ bytes, above options\.limits\.frame \(1000\)/)
    const client = await connect(t, url)
    client.send({ type: 'ping', ref: 1, filler: 'x'.repeat(900) })
    await client.frame({ type: 'pong', ref: 1 })
    client.send({ type: 'ping', ref: 2, filler: 'x'.repeat(1_000) })
    t.match(await client.close(), { code: 1009 })
  }
  log = ''
  await startApp(t, {}, { logger: { level: 'warn', stream } }, async (app) => { await app.register(websocket, { options: { maxPayload: 1_000 } }) })
  t.match(log, /maxPayload of 1000, below options\.limits\.frame/)
  await startApp(t, { compression: true }, { logger: { level: 'warn', stream } }, async (app) => { await app.register(websocket, { options: { maxPayload: 1_000 } }) })
  t.match(log, /perMessageDeflate/)
})

test('registered after us it fails at start-up, by name', async (t) => {
  // It throws where avvio does not catch, and so ends the process.
  const child = spawn(process.execPath, ['--import=tsx', fileURLToPath(new URL('./fixtures/websocket-after.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
  const [code] = await once(child, 'close') as [number]
  t.equal(code, 1)
  t.match(output, /FastifyError.*: The decorator 'ws' has already been added!/)
  t.match(output, /node_modules\/@fastify\/websocket\/index\.js/)
})

test('in scopes beside each other: refused, saying what to do', async (t) => {
  const withOurs: FastifyPluginAsync = async (scope) => { await scope.register(fanOut, { publishKeys }) }
  const withTheirs: FastifyPluginAsync = async (scope) => { await scope.register(websocket) }
  for (const [one, two] of [[withOurs, withTheirs], [withTheirs, withOurs], [withOurs, withOurs]] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(one, { prefix: '/one' })
    app.register(two, { prefix: '/two' })
    const error = await app.listen({ port: 0 }).then(() => undefined, (error: unknown) => error)
    t.match(error, { code: 'FAN_OUT_ERR_WEBSOCKET_CONFLICT', message: /register it once, on the root instance and before fastify-fan-out/ })
  }
})

test('twice in one app: under another name, another prefix', async (t) => {
  const { app, url } = await startApp(t, {}, {}, async (app) => {
    await app.register(fanOut, { name: 'alerts', prefix: '/alerts', publishKeys })
  })
  const alerts = (app as unknown as { alerts: FastifyInstance['rooms'] }).alerts
  const room = newRoom()
  const [one, two] = [await connect(t, url, `/rooms?room=${room}`), await connect(t, url, `/alerts?room=${room}`)]
  await one.frame({ type: 'subscribed' })
  await two.frame({ type: 'subscribed' })
  await app.rooms.publish(room, 'rooms')
  await alerts.publish(room, 'alerts')
  await one.frame({ type: 'message', data: 'rooms' })
  await two.frame({ type: 'message', data: 'alerts' })
  t.equal(one.of('message').length + two.of('message').length, 2)
  t.match([app.rooms.stats(), alerts.stats()], [{ subscriptions: 1 }, { subscriptions: 1 }])
  await app.close()
  t.match([await one.close(), await two.close()], [{ code: 1001 }, { code: 1001 }])
})

test('twice without another name, or without another prefix, fails at start-up', async (t) => {
  await t.rejects(startApp(t, {}, {}, async (app) => { await app.register(fanOut) }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /options\.name.*"rooms".*another name and another prefix/ })
  await t.rejects(startApp(t, {}, {}, async (app) => { await app.register(fanOut, { name: 'alerts' }) }), { code: 'FST_ERR_DUPLICATED_ROUTE' })
  await t.rejects(startApp(t, { name: 'log' }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /options\.name/ })
})

test('an upgrade of nobody, or to what is none of ours, is answered', async (t) => {
  const { app, url } = await startApp(t, {}, {}, (app) => { app.get('/plain', async () => 'plain') })
  for (const path of ['/nothing', '/plain', '/rooms/a/history', '/rooms/a']) {
    const client = await connect(t, url, path).then(() => 'open', (error: Error) => error.message)
    t.match(client, /Unexpected server response: (200|404|426|400)|open/, `${path}: ${String(client)}`)
  }
  await until(() => app.rooms.stats().connections.websocket === 0)
})

test('a connection does not keep the response that its handshake was routed with', async (t) => {
  for (const authenticate of [undefined, async () => ({ user: 'u' })]) {
    const sockets: Array<Socket & { _httpMessage?: unknown }> = []
    const { url } = await startApp(t, { ...(authenticate && { authenticate }) }, {}, async (app) => { app.server.on('connection', (socket: Socket) => sockets.push(socket)) })
    const client = await connect(t, url, `/rooms?room=${newRoom()}`)
    await client.frame({ type: 'subscribed' })
    t.equal(sockets.length, 1)
    t.equal(sockets[0]!._httpMessage, null)
    client.send({ type: 'ping' })
    await client.frame({ type: 'pong' })
    client.websocket.terminate()
    await until(() => sockets[0]!.destroyed, 'the socket to be destroyed')
  }
})

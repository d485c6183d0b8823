import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { KEY, connect, newRoom, openStream, post, startApp, withKey } from '../helpers.js'

const publishKeys = [{ id: 'k', key: KEY }]

/** That everything works at this address. */
async function works (t: Test, url: string, prefix: string): Promise<void> {
  const room = `Mixed:Case:${newRoom()}`
  const base = `${url}${prefix}`
  const client = await connect(t, url, `${prefix === '' ? '/' : prefix}?room=${room}`)
  await client.frame({ type: 'subscribed', room })
  const stream = await openStream(t, `${base}/${room}/events`)
  const { status, body } = await post(`${base}/${room}`, { x: 1 })
  t.equal(status, 200)
  t.equal(body.room, room)
  await client.frame({ type: 'message', room, id: body.id, data: { x: 1 } })
  await stream.event({ event: 'message', id: body.id })
  t.match(await (await fetch(`${base}/${room}/history`)).json(), { room, messages: [{ data: { x: 1 } }] })
  t.match(await post(base === url ? `${base}/` : base, { rooms: [room], data: 2 }), { status: 200, body: { failed: 0 } })
  t.match(await post(`${base}/%00`, 1), { status: 400, body: { statusCode: 400, code: 'FAN_OUT_ERR_INVALID_ROOM', error: 'Bad Request', message: String } })
}

test("the router's options", async (t) => {
  const insensitive = await startApp(t, {}, { routerOptions: { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true } })
  await works(t, insensitive.url, '/rooms')
  await works(t, insensitive.url, '/ROOMS')
  const client = await connect(t, insensitive.url, '/rooms/?room=Abc')
  await client.frame({ type: 'subscribed', room: 'Abc' })
  t.equal((await post(`${insensitive.url}/rooms/`, { rooms: ['a'], data: 1 })).status, 200)
  const longest = await startApp(t, {}, { routerOptions: { maxParamLength: 600 } })
  t.equal((await post(`${longest.url}/rooms/${'%C3%A4'.repeat(100)}`, 1)).status, 200)
  t.equal((await post(`${longest.url}/rooms/${'%C3%A4'.repeat(101)}`, 1)).status, 400, 'beyond the longest name')
  t.equal((await post(`${longest.url}/rooms/${'x'.repeat(201)}`, 1)).status, 400)
  const prefixed = await startApp(t, {}, { rewriteUrl: (request) => request.url!.replace(/^\/api/, '') } as FastifyServerOptions)
  await works(t, prefixed.url, '/api/rooms')
})

test('prefixes', async (t) => {
  for (const prefix of ['/', '']) {
    const { url } = await startApp(t, { prefix }, {}, (app) => { app.get('/app/:x/y', async () => 'theirs') })
    await works(t, url, '')
    t.equal(await (await fetch(`${url}/app/1/y`)).text(), 'theirs')
  }
  for (const prefix of ['/a/b/', '/r\u00e4ume', '/x.y']) {
    const { url } = await startApp(t, { prefix })
    await works(t, url, encodeURI(prefix.replace(/\/$/, '')))
  }
})

test('in a scope with a prefix of its own', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  let inner!: FastifyInstance
  await app.register(async (scope) => {
    inner = scope
    scope.addHook('onRequest', async (_request, reply) => { reply.header('x-scope', 'v1') })
    await scope.register(fanOut, { publishKeys })
  }, { prefix: '/api/v1' })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  await works(t, url, '/api/v1/rooms')
  t.equal((await fetch(`${url}/api/v1/rooms/a/history`)).headers.get('x-scope'), 'v1')
  t.notOk('rooms' in app, 'the decorator stays in the scope')
  t.ok(inner.rooms.ready)
})

test("the app's own error handler", async (t) => {
  const { url } = await startApp(t, {}, {}, (app) => {
    app.setErrorHandler(async (error: { code: string, statusCode: number, message: string }, _request, reply) => await reply.code(error.statusCode).send({ mine: error.code, text: error.message }))
  })
  t.strictSame((await post(`${url}/rooms/%00`, 1)).body, { mine: 'FAN_OUT_ERR_INVALID_ROOM', text: 'invalid room name: it takes 1 to 200 bytes of UTF-8 without control characters' })
  t.match(await (await fetch(`${url}/rooms/a/history?limit=0`)).json(), { mine: 'FAN_OUT_ERR_INVALID_REQUEST' })
  t.match(await (await fetch(`${url}/rooms`)).json(), { mine: 'FAN_OUT_ERR_UPGRADE_REQUIRED' })
  const client = await connect(t, url, '/rooms?room=a')
  await client.frame({ type: 'subscribed' })
})

test("the app's own compilers, which know nothing of JSON Schema", async (t) => {
  const { url } = await startApp(t, {}, {}, (app) => {
    app.setValidatorCompiler(() => { throw new Error('not a zod schema') })
    app.setSerializerCompiler(() => { throw new Error('not a zod schema') })
    app.setSchemaErrorFormatter(() => new Error('mine'))
    app.setReplySerializer(() => { throw new Error('mine') })
  })
  await works(t, url, '/rooms')
  t.match(await (await fetch(`${url}/rooms/a/history?limit=0`)).json(), { code: 'FAN_OUT_ERR_INVALID_REQUEST' })
})

test("the app's schema controller, Ajv options and 404", async (t) => {
  const { url } = await startApp(t, {}, {
    schemaController: { compilersFactory: { buildValidator: () => () => { throw new Error('mine') }, buildSerializer: () => () => { throw new Error('mine') } } } as never,
    ajv: { customOptions: { removeAdditional: 'all', coerceTypes: true, strict: true } } as never
  }, (app) => {
    app.setNotFoundHandler(async (_request, reply) => await reply.code(404).send('mine'))
  })
  await works(t, url, '/rooms')
  t.equal(await (await fetch(`${url}/rooms/a/nothing`)).text(), 'mine')
  t.equal(await (await fetch(`${url}/rooms/a`)).text(), 'mine')
})

test("the app's content type parsers and body limit are its own", async (t) => {
  for (const bodyLimit of [10, 10_000_000]) {
    const { url } = await startApp(t, { limits: { body: 1_000 } }, { bodyLimit }, (app) => {
      app.removeAllContentTypeParsers()
      app.addContentTypeParser('application/json', async () => { throw new Error('mine') })
      app.addContentTypeParser('text/plain', { parseAs: 'string' }, async () => 'mine')
    })
    await works(t, url, '/rooms')
    t.equal((await post(`${url}/rooms/a`, 'x'.repeat(998))).status, 200, 'exactly as much')
    t.match(await post(`${url}/rooms/a`, 'x'.repeat(999)), { status: 413, body: { code: 'FAN_OUT_ERR_TOO_LARGE', statusCode: 413, error: 'Payload Too Large' } })
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'text/json', '']) {
      const response = await fetch(`${url}/rooms/a`, { method: 'POST', headers: { ...withKey, ...(type === '' ? {} : { 'content-type': type }) }, body: Buffer.from('1') })
      t.equal(response.status, 415, type)
      t.match(await response.json(), { code: 'FAN_OUT_ERR_MEDIA_TYPE' })
    }
    for (const type of ['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON']) t.equal((await post(`${url}/rooms/a`, 1, { 'content-type': type })).status, 200, type)
    for (const [body, code] of [['', 'INVALID_JSON'], ['{', 'INVALID_JSON'], ['\xff\xfe', 'INVALID_JSON'], [' ', 'INVALID_JSON']] as const) {
      const response = await fetch(`${url}/rooms/a`, { method: 'POST', headers: { ...withKey, 'content-type': 'application/json' }, body: Buffer.from(body, 'latin1') })
      t.equal(response.status, 400)
      t.match(await response.json(), { code: `FAN_OUT_ERR_${code}` })
    }
  }
})

test('hooks: on our routes only, before who it is is asked', async (t) => {
  const ran: string[] = []
  const { url } = await startApp(t, {
    authenticate: (request) => { ran.push(`authenticate ${request.url}`); return null },
    hooks: {
      onRequest: [async (request) => { ran.push(`onRequest ${request.url}`) }, async (request, reply) => { if (request.headers['x-stop'] !== undefined) return await reply.code(418).send('stopped') }],
      preHandler: (request, _reply, done) => { ran.push(`preHandler ${request.url}`); done() }
    }
  }, {}, (app) => { app.get('/app', async () => 'x') })
  await fetch(`${url}/app`)
  t.strictSame(ran.splice(0), [])
  for (const path of ['/rooms/a/history', '/rooms/a/events']) {
    const { response } = await openStream(t, `${url}${path}`)
    t.equal(response.status, 200)
    t.strictSame(ran.splice(0), [`onRequest ${path}`, `authenticate ${path}`, `preHandler ${path}`])
    t.equal((await fetch(`${url}${path}`, { headers: { 'x-stop': '1' } })).status, 418)
    ran.splice(0)
  }
  const client = await connect(t, url, '/rooms?room=a')
  await client.frame({ type: 'subscribed' })
  t.strictSame(ran.splice(0), ['onRequest /rooms?room=a', 'preHandler /rooms?room=a', 'authenticate /rooms?room=a'])
  await t.rejects(connect(t, url, '/rooms', [], { headers: { 'x-stop': '1' } }), /418/)
})

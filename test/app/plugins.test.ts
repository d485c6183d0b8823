import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import jwt from '@fastify/jwt'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { KEY, connect, newRoom, openStream, post, startApp } from '../helpers.js'

test('@fastify/cors and @fastify/helmet: their headers stand on every answer, streams too', async (t) => {
  const { url } = await startApp(t, {}, {}, async (app) => {
    await app.register(cors, { origin: 'https://a.example', credentials: true, exposedHeaders: ['retry-after'] })
    await app.register(helmet)
  })
  const headers = { origin: 'https://a.example' }
  const stream = await openStream(t, `${url}/rooms/${newRoom()}/events`, headers)
  await stream.event({ event: 'subscribed' })
  const responses = [stream.response, await fetch(`${url}/rooms/a/history`, { headers }), await fetch(`${url}/rooms/a/events?since=x`, { headers }), await fetch(`${url}/rooms`, { headers }), await fetch(`${url}/rooms/a`, { method: 'POST', headers })]
  t.strictSame(responses.map(({ status }) => status), [200, 200, 400, 426, 401])
  for (const response of responses) {
    t.equal(response.headers.get('access-control-allow-origin'), 'https://a.example')
    t.equal(response.headers.get('access-control-allow-credentials'), 'true')
    t.equal(response.headers.get('x-content-type-options'), 'nosniff')
  }
  const preflight = await fetch(`${url}/rooms/a`, { method: 'OPTIONS', headers: { ...headers, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,idempotency-key' } })
  t.equal(preflight.status, 204)
  t.match(preflight.headers.get('access-control-allow-headers'), /idempotency-key/)
  const client = await connect(t, url, '/rooms?room=a')
  await client.frame({ type: 'subscribed' })
})

test('@fastify/cors with an origin that is decided later', async (t) => {
  const { url } = await startApp(t, {}, {}, async (app) => {
    await app.register(cors, { origin: async () => { await new Promise((resolve) => setImmediate(resolve)); return true } })
  })
  const stream = await openStream(t, `${url}/rooms/${newRoom()}/events`, { origin: 'https://b.example' })
  t.equal(stream.response.headers.get('access-control-allow-origin'), 'https://b.example')
  t.match(stream.response.headers.get('vary'), /Origin/i)
})

for (const [name, options] of Object.entries({ 'OpenAPI 3': { openapi: { openapi: '3.1.0' } }, 'OpenAPI 3.0': { openapi: { openapi: '3.0.3' } }, 'Swagger 2': {} })) {
  test(`@fastify/swagger, ${name}: every route is documented`, async (t) => {
    const { app, url } = await startApp(t, { presence: true }, {}, async (app) => { await app.register(swagger, options as never) })
    const document = app.swagger() as unknown as { paths: Record<string, Record<string, { summary?: string, responses: object, tags: string[] }>> }
    const routes = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`)).filter((route) => !route.startsWith('head'))
    t.strictSame(routes.sort(), ['get /rooms', 'get /rooms/{room}/events', 'get /rooms/{room}/history', 'get /rooms/{room}/presence', 'post /rooms', 'post /rooms/{room}'])
    for (const methods of Object.values(document.paths)) for (const { summary, responses, tags } of Object.values(methods)) t.ok(summary !== undefined && Object.keys(responses).length > 1 && tags.includes('rooms'))
    t.doesNotThrow(() => JSON.stringify(document))
    t.doesNotThrow(() => app.swagger({ yaml: true }))
    t.equal((await post(`${url}/rooms/a`, { x: '__proto__' })).status, 200)
  })
}

test('@fastify/jwt in authenticate', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(jwt, { secret: 'a secret of this test that is long enough' })
  await app.register(fanOut, {
    publishKeys: [{ id: 'k', key: KEY }],
    async authenticate (_request, token) {
      if (token === undefined) return null
      const { sub, exp } = app.jwt.verify<{ sub: string, exp?: number }>(token)
      return { user: sub, ...(exp !== undefined && { expiresAt: exp * 1000 }) }
    },
    authorize: ({ user, room, action, key }) => key !== undefined || (action === 'subscribe' && user !== undefined && room!.startsWith(`${user}:`))
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const token = app.jwt.sign({ sub: 'alice' }, { expiresIn: '1h' })
  const client = await connect(t, url, '/rooms?room=alice:1&room=bob:1', ['fan-out.v1', `bearer.${token}`])
  t.match(await client.frame({ type: 'authenticated' }), { user: 'alice', expiresAt: Number })
  await client.frame({ type: 'subscribed', room: 'alice:1' })
  await client.frame({ type: 'error', room: 'bob:1', code: 'FAN_OUT_ERR_FORBIDDEN' })
  for (const bad of [`${token}x`, app.jwt.sign({ sub: 'alice' }, { expiresIn: -1 }), 'x.y.z']) {
    const refused = await connect(t, url, '/rooms', ['fan-out.v1', `bearer.${bad}`])
    t.match(await refused.close(), { code: 4401 })
    t.equal((await fetch(`${url}/rooms/alice:1/history`, { headers: { authorization: `Bearer ${bad}` } })).status, 401)
  }
  t.equal((await post(`${url}/rooms/alice:1`, 1)).status, 200)
  await client.frame({ type: 'message', data: 1 })
})

test('@fastify/jwt by request.jwtVerify()', async (t) => {
  const { app, url } = await startApp(t, {
    async authenticate (request, token) {
      if (token === undefined) return null
      const { sub } = await request.jwtVerify<{ sub: string }>()
      return { user: sub }
    }
  }, {}, async (app) => { await app.register(jwt, { secret: 'a secret of this test that is long enough' }) })
  const headers = { authorization: `Bearer ${app.jwt.sign({ sub: 'alice' })}` }
  const client = await connect(t, url, '/rooms', [], { headers })
  await client.frame({ type: 'authenticated', user: 'alice' })
  t.equal((await fetch(`${url}/rooms/a/history`, { headers })).status, 200)
  t.equal((await fetch(`${url}/rooms/a/history`, { headers: { authorization: 'Bearer x' } })).status, 401)
})

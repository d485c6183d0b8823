// The routes, documented by @fastify/swagger.
//
//   node --import=tsx examples/swagger.ts
//   curl http://127.0.0.1:3000/openapi.json
//
// One sees an OpenAPI document with the six routes below /rooms. Outside of this repository import from 'fastify-fan-out'.
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify({ logger: { level: 'warn' } })

// Before the routes that it is to see.
await app.register(swagger, { openapi: { info: { title: 'An app with rooms', version: '1.0.0' } } })
await app.register(fanOut)

app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

// The plugin in an app of its own, and two plain pages that follow a room.
//
//   node --import=tsx examples/basic.ts
//
// Open http://127.0.0.1:3000/websocket.html and http://127.0.0.1:3000/eventsource.html, then publish:
//
//   curl http://127.0.0.1:3000/rooms/news -H "authorization: Bearer a-secret-of-the-backend" -H "content-type: application/json" -d '{"hello":"world"}'
//
// Both pages show the message. Stop the program, start it again, publish: both come back, and show a gap, since the memory
// broker keeps nothing over a restart. Outside of this repository import from 'fastify-fan-out'.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify({ logger: { level: 'warn' } })

await app.register(fanOut, {
  publishKeys: [{ id: 'backend', key: process.env['PUBLISH_KEY'] ?? 'a-secret-of-the-backend' }]
})

for (const page of ['websocket.html', 'eventsource.html']) {
  app.get(`/${page}`, async (_request, reply) => {
    return await reply.type('text/html; charset=utf-8').send(readFileSync(new URL(page, import.meta.url), 'utf8'))
  })
}

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

// A chat across servers: every server shows the same page, and whoever is on one talks to whoever is on another.
//
//   npm run build
//   PORT=3001 node --import=tsx examples/chat/server.ts
//   PORT=3002 node --import=tsx examples/chat/server.ts
//
// Both on the Redis at REDIS_URL (redis://127.0.0.1:6379). Open http://127.0.0.1:3001/ and http://127.0.0.1:3002/, talk. Stop one
// server: its page says so, and keeps what is said there. Start it again: the page comes back, and what was said meanwhile arrives.
// Outside of this repository import from 'fastify-fan-out'.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import fanOut from '../../index.js'

const app = Fastify({ logger: { level: 'warn' } })

await app.register(fanOut, {
  broker: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
  client: true,
  clientPublish: true,
  presence: true,
  // For the example a token is a name, and everybody is believed. Throws without one, so that a connection waits for it.
  authenticate (_request, token) {
    if (token === undefined) throw new Error('no name')
    return { user: decodeURIComponent(token) }
  },
  // To read, to write, and to see who is there: in rooms of the chat, and nowhere else.
  authorize: ({ room }) => room?.startsWith('chat:') === true
})

const page = readFileSync(new URL('index.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

// A live dashboard. Backends POST what they measure; who opens the page later is given a snapshot first, then the changes.
//
//   npm run build
//   node --import=tsx examples/dashboard/server.ts
//   node --import=tsx examples/dashboard/backend.ts
//
// Open http://127.0.0.1:3000/, at any time. Outside of this repository import from 'fastify-fan-out'.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import fanOut from '../../index.js'

interface Load { host: string, cpu: number }

const app = Fastify({ logger: { level: 'warn' } })

await app.register(fanOut, {
  client: true,
  publishKeys: [{ id: 'backend', key: process.env['PUBLISH_KEY'] ?? 'a-secret-of-the-backend', rooms: ['load'] }],
  // The state is in the messages: of each host the newest that is retained. Where yours is in a database, read it here, and
  // let whoever changes it publish after that.
  async snapshot (room) {
    const { messages } = await app.rooms.history<Load>(room, { order: 'desc', limit: 1_000 })
    const newest = new Map<string, Load>()
    for (const { data } of messages) if (!newest.has(data.host)) newest.set(data.host, data)
    return [...newest.values()]
  }
})

const page = readFileSync(new URL('index.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

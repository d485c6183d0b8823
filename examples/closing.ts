// A server that leaves without losing anybody: it falls out of the load balancer, sends its clients away one after the
// other, and ends.
//
//   node --import=tsx examples/closing.ts
//
// Stop it with Ctrl+C: /ready falls to 503, clients are closed with 1001 over two seconds, and the program ends with 0.
// Outside of this repository import from 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify({ logger: { level: 'warn' } })
await app.register(fanOut)

app.get('/ready', async (_request, reply) => {
  if (!app.rooms.ready) reply.code(503)
  return { ready: app.rooms.ready }
})

let leaving = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, async () => {
    if (leaving) return
    leaving = true
    // First drain, then close: while Fastify is closing it answers every request itself, with 503.
    await app.rooms.drain({ over: 2_000 })
    await app.close()
    console.log('closed')
  })
}

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

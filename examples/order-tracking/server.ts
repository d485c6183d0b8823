// Order tracking with an EventSource and no client code: the page shows each step as it happens, and who opens it late, or
// again, sees the steps before too, since the stream begins with the oldest message that is retained.
//
//   node --import=tsx examples/order-tracking/server.ts
//
// Open http://127.0.0.1:3000/, order, and open the address of the order in another tab. Outside of this repository import
// from 'fastify-fan-out'.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import fanOut from '../../index.js'

const STEPS = ['received', 'packed', 'shipped', 'delivered']
const pause = Number(process.env['PAUSE'] ?? 3_000)

const app = Fastify({ logger: { level: 'warn' } })

await app.register(fanOut, {
  // A day: what is older is not in the room any more, and has to come from the shop's database.
  history: { maxAge: 24 * 3600 * 1000 }
})

async function deliver (order: string): Promise<void> {
  for (const step of STEPS) {
    // The key: a step that is reported again is published once.
    await app.rooms.publish(`order:${order}`, { step, at: new Date().toISOString() }, { idempotencyKey: step })
    await setTimeout(pause)
  }
}

app.post('/orders', async () => {
  const order = randomUUID()
  deliver(order).catch((error: unknown) => app.log.error(error))
  return { order }
})

const page = readFileSync(new URL('index.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

// A publisher that may retry: every message has a key, so that none is published twice.
//
//   node --import=tsx examples/idempotent-publisher.ts
//
// The first answer is lost on its way (the example throws it away), the second attempt gets the id of the first, with
// `duplicate: true`, and the room holds one message. Outside of this repository import from 'fastify-fan-out'.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify()
await app.register(fanOut, { publishKeys: [{ id: 'backend', key: 'a-secret-of-the-backend' }] })
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 0) })

let lose = 1
async function send (room: string, data: unknown, key: string): Promise<Response> {
  const response = await fetch(`${url}/rooms/${encodeURIComponent(room)}`, {
    method: 'POST',
    headers: { authorization: 'Bearer a-secret-of-the-backend', 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(data)
  })
  if (lose-- > 0) throw new Error('the answer was lost')
  return response
}

/** Publishes for certain, or throws. Only what may succeed later is tried again: no answer, 429 and 503. */
async function publish (room: string, data: unknown): Promise<{ id: string, duplicate?: boolean }> {
  const key = randomUUID() // one for the message, not one for the attempt
  for (let attempt = 1; ; attempt++) {
    const response = await send(room, data, key).catch((error: Error) => {
      console.log(`attempt ${attempt}: ${error.message}`)
    })
    if (response?.ok === true) return await response.json() as { id: string, duplicate?: boolean }
    const forNow = response === undefined || response.status === 429 || response.status === 503
    if (!forNow || attempt === 10) throw new Error(`not published: ${response?.status ?? 'no answer'}`)
    const seconds = Number(response?.headers.get('retry-after') ?? 0)
    await sleep(1000 * seconds + Math.random() * 100 * 2 ** attempt)
  }
}

const { duplicate } = await publish('orders', { order: 1 })
console.log('duplicate', duplicate)
console.log('messages in the room', (await app.rooms.history('orders')).messages.length)

await app.close()

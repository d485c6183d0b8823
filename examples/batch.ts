// Many messages in one request, and one message to many rooms.
//
//   node --import=tsx examples/batch.ts
//
// One sees a result for each entry, in the order asked. The second entry of the first batch is refused, and does not sink
// the others. Outside of this repository import from 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify()
await app.register(fanOut, { publishKeys: [{ id: 'backend', key: 'a-secret-of-the-backend' }] })
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 0) })

async function post (body: object): Promise<unknown> {
  const response = await fetch(`${url}/rooms`, {
    method: 'POST',
    headers: { authorization: 'Bearer a-secret-of-the-backend', 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return await response.json()
}

const batch = await post({
  messages: [
    { room: 'chat:1', data: { text: 'first' } },
    { room: 'a name with a \n newline', data: 1 },
    { room: 'chat:2', data: { text: 'once' }, idempotencyKey: 'order-77' },
    { room: 'chat:2', data: { text: 'once' }, idempotencyKey: 'order-77' }
  ]
})
console.log('batch', JSON.stringify(batch, null, 2))

const oneToMany = await post({ rooms: ['chat:1', 'chat:2', 'chat:3'], data: { text: 'to all' } })
console.log('one to many', JSON.stringify(oneToMany, null, 2))

await app.close()

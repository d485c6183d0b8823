// The product without HTTP: publishing and subscribing from the app's own code.
//
//   node --import=tsx examples/in-process.ts
//
// One sees three messages in order, each handled before the next is given; a resume from the first of them; what a batch
// answers; and the counts. Outside of this repository import from 'fastify-fan-out'.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import fanOut from '../index.js'

interface Order { order: number }

const app = Fastify()
await app.register(fanOut)
await app.ready()

const ids: string[] = []
const subscription = await app.rooms.subscribe<Order>('orders', async (event) => {
  if (event.type !== 'message') return
  await sleep(10) // it is waited for
  ids.push(event.id)
  console.log('handled', event.data.order)
})
for (const order of [1, 2, 3]) await app.rooms.publish('orders', { order })
while (ids.length < 3) await sleep(5)
await subscription.close()

const controller = new AbortController()
const resumed = await app.rooms.subscribe<Order>('orders', { since: ids[0]!, signal: controller.signal }, (event) => {
  if (event.type !== 'message') return
  console.log('replayed', event.data.order)
  if (event.id === ids[2]) controller.abort() // as resumed.close()
})
console.log('recovered', resumed.recovered, 'replayed', resumed.replayed)
await resumed.closed

for (const result of await app.rooms.publishMany([
  { room: 'orders', data: { order: 4 }, idempotencyKey: 'four' },
  { room: 'orders', data: { order: 4 }, idempotencyKey: 'four' },
  { room: '', data: 5 }
])) {
  console.log('error' in result ? result.error.code : `published, duplicate: ${result.duplicate}`)
}
console.log('published', app.rooms.stats().published)

await app.close()

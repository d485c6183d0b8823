// Reads the replay window of a room, page after page.
//
//   node --import=tsx examples/history.ts
//
// One sees three pages of two, two and one message, the newest message by itself, and what a cursor from before the window
// is told. Outside of this repository import from 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut from '../index.js'

const app = Fastify()
await app.register(fanOut, { history: { size: 5 } })
await app.ready()

const first = await app.rooms.publish('chat:42', 0)
for (let n = 1; n <= 6; n++) await app.rooms.publish('chat:42', n)

interface Page { id: string, complete: boolean, more: boolean, messages: Array<{ id: string, data: number }> }
async function read (query: string): Promise<Page> {
  // As any HTTP client would: GET /rooms/chat:42/history?…
  return (await app.inject(`/rooms/chat:42/history?${query}`)).json<Page>()
}

let page = await read('limit=2')
for (;;) {
  console.log('page', page.messages.map(({ data }) => data))
  if (!page.more) break
  page = await read(`limit=2&since=${page.id}`)
}

console.log('newest', (await read('order=desc&limit=1')).messages.map(({ data }) => data))
console.log('since the first: complete', (await read(`since=${first.id}`)).complete)

await app.close()

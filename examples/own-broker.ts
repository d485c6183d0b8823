// An app on a broker of one's own, which is in no-window-broker.ts.
//
//   node --import=tsx examples/own-broker.ts
//
// One sees a message come through it, and a resume that missed one be told so. Outside of this repository import from
// 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut from '../index.js'
import type { RoomEvent, Subscription } from '../index.js'
import { NoWindowBroker } from './no-window-broker.js'

const app = Fastify()
await app.register(fanOut, { broker: new NoWindowBroker() })
await app.ready()

// The next event of a room.
function next (room: string, since?: string): { event: Promise<RoomEvent>, subscription: Promise<Subscription> } {
  let resolve!: (event: RoomEvent) => void
  const event = new Promise<RoomEvent>((_resolve) => { resolve = _resolve })
  return { event, subscription: app.rooms.subscribe(room, since === undefined ? {} : { since }, resolve) }
}

const live = next('news')
await live.subscription
await app.rooms.publish('news', 'hello')
console.log('live', JSON.stringify(await live.event))

// Nobody is in this room while it is published to, so nobody remembers its messages.
const first = await app.rooms.publish('quiet', 1)
await app.rooms.publish('quiet', 2)
const resumed = next('quiet', first.id)
console.log('recovered', (await resumed.subscription).recovered)
console.log('told', JSON.stringify(await resumed.event))

await app.close()

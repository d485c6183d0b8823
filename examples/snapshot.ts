// A room whose subscribers first get its state, and then the changes.
//
//   node --import=tsx examples/snapshot.ts
//
// One sees a subscriber who begins with the snapshot and goes on with changes, and a second who comes back with a cursor:
// no snapshot for him, the window has all he missed. Outside of this repository import from 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut, { type RoomEvent, type Subscription } from '../index.js'

const app = Fastify()
const scores = new Map<string, number>()

await app.register(fanOut, {
  // At least as new as the room is when it is called: here the state is changed before the change is published.
  snapshot: (room) => room === 'scores' ? Object.fromEntries(scores) : undefined
})
await app.ready()

async function score (player: string, points: number): Promise<void> {
  scores.set(player, points)
  await app.rooms.publish('scores', { player, points })
}

await score('ada', 1)
await score('bob', 2)

// Prints what a subscriber is given, and answers its subscription and a way to wait for so many events.
async function follow (name: string, since?: string): Promise<{ subscription: Subscription, events: (count: number) => Promise<RoomEvent[]> }> {
  const events: RoomEvent[] = []
  const subscription = await app.rooms.subscribe('scores', since === undefined ? {} : { since }, (event) => {
    events.push(event)
    console.log(name, event.type, JSON.stringify('data' in event ? event.data : event))
  })
  return {
    subscription,
    async events (count) {
      while (events.length < count) await new Promise((resolve) => setImmediate(resolve))
      return events
    }
  }
}

const first = await follow('first')
await first.events(1)
await score('ada', 3)
const [, change] = await first.events(2)
await first.subscription.close()

await score('bob', 5)
const second = await follow('second', change!.id)
console.log('second recovered', second.subscription.recovered)
await second.events(1)

await app.close()

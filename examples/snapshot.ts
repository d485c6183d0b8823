// A room whose subscribers first get its state, and then the changes.
//
//   node --import=tsx examples/snapshot.ts
//
// One sees a subscriber who begins with the snapshot and goes on with changes, and a second who comes back with a cursor:
// no snapshot for him, the window has all he missed. Outside of this repository import from 'fastify-fan-out'.
import Fastify from 'fastify'
import fanOut from '../index.js'

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

let last: string | undefined
const first = await app.rooms.subscribe('scores', ({ type, id, ...rest }) => {
  last = id
  console.log('first', type, JSON.stringify('data' in rest ? rest.data : rest))
})
await score('ada', 3)
while (last === first.id) await new Promise((resolve) => setImmediate(resolve))
await first.close()

await score('bob', 5)
const second = await app.rooms.subscribe('scores', { since: last! }, ({ type, ...rest }) => {
  console.log('second', type, JSON.stringify('data' in rest ? rest.data : rest))
})
console.log('second recovered', second.recovered)
await second.close()

await app.close()

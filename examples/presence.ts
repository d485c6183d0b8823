// Who is in a room, and joins and leaves as they happen.
//
//   node --import=tsx examples/presence.ts
//
// One sees ada be told of bob's join and leave, and the list of members in between. Outside of this repository import from
// 'fastify-fan-out'.
import { on } from 'node:events'
import Fastify from 'fastify'
import WebSocket from 'ws'
import fanOut from '../index.js'

const app = Fastify()
await app.register(fanOut, {
  presence: true,
  // For the example a token is a name.
  authenticate: (_request, token) => token === undefined ? null : { user: token, info: { since: 'today' } },
  // `presence` is a right of its own: the list, and joins and leaves.
  authorize: ({ action, user }) => user !== undefined && (action === 'subscribe' || action === 'presence')
})
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 0) })

interface Frame { type: string, member?: unknown }

function open (user: string): { socket: WebSocket, next: (type: string) => Promise<Frame> } {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/rooms`, ['fan-out.v1', `bearer.${user}`])
  const messages = on(socket, 'message') as AsyncIterableIterator<[Buffer]>
  // The next frame of that type; others are passed over.
  const next = async (type: string): Promise<Frame> => {
    for (;;) {
      const frame = JSON.parse(String((await messages.next()).value[0])) as Frame
      if (frame.type === type) return frame
    }
  }
  return { socket, next }
}

const ada = open('ada')
await ada.next('authenticated')
ada.socket.send(JSON.stringify({ type: 'subscribe', room: 'lobby', presence: true }))
await ada.next('subscribed')

const bob = open('bob')
await bob.next('authenticated')
bob.socket.send(JSON.stringify({ type: 'subscribe', room: 'lobby' }))
console.log('join', JSON.stringify((await ada.next('join')).member))

const response = await fetch(`${url}/rooms/lobby/presence`, { headers: { authorization: 'Bearer ada' } })
const { count, members } = await response.json() as { count: number, members: Array<{ user: string }> }
console.log('members', count, members.map(({ user }) => user).join(' '))

bob.socket.close()
console.log('leave', JSON.stringify((await ada.next('leave')).member))

await app.close()

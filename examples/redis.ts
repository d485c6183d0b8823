// Two servers on one Redis: a client of the one receives what was published on the other, and goes on there when its own
// server leaves.
//
//   REDIS_URL=redis://127.0.0.1:6379 node --import=tsx examples/redis.ts
//
// One sees the messages that the client received, in order, the one from the time between the two servers included.
// Outside of this repository import from 'fastify-fan-out'.
import type { FastifyInstance } from 'fastify'
import { on } from 'node:events'
import Fastify from 'fastify'
import WebSocket from 'ws'
import fanOut from '../index.js'

const broker = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'

async function start (): Promise<{ app: FastifyInstance, url: string }> {
  const app = Fastify()
  await app.register(fanOut, { broker })
  return { app, url: await app.listen({ host: '127.0.0.1', port: 0 }) }
}

const [one, other] = await Promise.all([start(), start()])
const room = `news:${process.pid}`

let last: string | undefined

/** Connects to a server, and prints what comes, until it has printed so many messages or the server says goodbye. */
async function listen (url: string, count: number): Promise<void> {
  const query = new URLSearchParams({ room, ...(last !== undefined && { since: last }) })
  const socket = new WebSocket(`${url.replace('http', 'ws')}/rooms?${query}`)
  for await (const [data] of on(socket, 'message', { close: ['close'] }) as AsyncIterableIterator<[Buffer]>) {
    const { type, id, data: message, recovered } = JSON.parse(String(data)) as { type: string, id: string, data: string, recovered?: boolean }
    if (type === 'subscribed') {
      last = id
      console.log('subscribed', recovered === undefined ? '' : `recovered ${recovered}`)
      ready()
    }
    if (type !== 'message') continue
    last = id
    console.log('received', message)
    if (--count === 0) break
  }
  socket.close()
}

let ready = (): void => {}
const subscribed = new Promise<void>((resolve) => { ready = resolve })

const listening = listen(one.url, 2)
await subscribed
await one.app.rooms.publish(room, 'published here')
await other.app.rooms.publish(room, 'published there')
await listening

await one.app.close()
await other.app.rooms.publish(room, 'while nobody listened')
await listen(other.url, 1)
await other.app.close()

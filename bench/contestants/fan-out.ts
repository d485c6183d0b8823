import type { Contestant, HttpRequest, SocketRecipe } from './contestant.js'
import { existsSync } from 'node:fs'
import { startServers } from './server-process.js'

const key = 'the-key-of-the-benchmark'
const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }

const socket: SocketRecipe = {
  // Who comes for one room says so in the URL, as EventSource does; the others are joined by frames.
  enter: (rooms, since) => rooms.length === 1
    ? { path: `/rooms?room=${rooms[0]}${since === undefined ? '' : `&since=${since}`}`, frames: [] }
    : { path: '/rooms', frames: rooms.map((room) => JSON.stringify({ type: 'subscribe', room, since })) },
  joined: '{"type":"subscribed"',
  resumes: true
}

function publish (room: string, messages: string[]): HttpRequest {
  if (messages.length === 1) return { path: `/rooms/${room}`, headers, body: messages[0] as string }
  return { path: '/rooms', headers, body: `{"messages":[${messages.map((data) => `{"room":"${room}","data":${data}}`).join(',')}]}` }
}

export const fanOut: Contestant = {
  name: 'fan-out',
  async start (options) {
    if (!existsSync(new URL('../../dist/index.js', import.meta.url))) throw new Error('there is no dist/: run `npm run build` first')
    return { ...await startServers('fan-out.ts', { broker: options.nats ?? options.redis ?? 'memory:', key }, options), socket, publish }
  }
}

/** These two are only asked to publish in their processes. */
export const redisScript: Contestant = {
  name: 'redis-script',
  start: async (options) => ({ ...await startServers('redis-script.ts', options, {}), socket, publish })
}

export const jetStreamClient: Contestant = {
  name: 'jetstream-client',
  start: async (options) => ({ ...await startServers('jetstream-client.ts', options, {}), socket, publish })
}

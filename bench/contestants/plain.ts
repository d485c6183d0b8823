import type { Contestant, HttpRequest, SocketRecipe } from './contestant.js'
import { startServers } from './server-process.js'

const json = { 'content-type': 'application/json' }

const socket: SocketRecipe = {
  enter: (rooms) => ({ path: '/', frames: rooms.length === 0 ? [] : [rooms.join('\n')] }),
  joined: 'joined '
}

function publish (room: string, messages: string[]): HttpRequest {
  return { path: `/${room}`, headers: json, body: `{"messages":[${messages.join(',')}]}` }
}

function plain (name: string, program: string, options: object = {}): Contestant {
  return { name, start: async (given) => ({ ...await startServers(program, options, given), socket, publish }) }
}

export const floorBatch = plain('floor-batch', 'floor.ts', { writes: 'batch' })
export const floorMessage = plain('floor-message', 'floor.ts', { writes: 'message' })
export const wsLoop = plain('ws-loop', 'ws-loop.ts')

/** It has no rooms: to connect is all, and nobody receives what is posted. */
export const fastifyWebsocket: Contestant = {
  name: 'fastify-websocket',
  start: async (given) => ({
    ...await startServers('fastify-websocket.ts', {}, given),
    socket: { enter: () => ({ path: '/', frames: [] }), joined: '' },
    publish: (room, messages) => ({ path: `/${room}`, headers: json, body: messages.length === 1 ? messages[0] as string : `[${messages.join(',')}]` })
  })
}

// The plugin beside others: @fastify/websocket with a route of the app's own, @fastify/cors, @fastify/helmet, names of 200
// bytes in URLs, and a second registration.
//
//   node --import=tsx examples/with-others.ts
//
// One sees the app's own WebSocket at /echo, rooms at /rooms and at /internal, and CORS headers on an event stream for a
// page of http://localhost:8080. Outside of this repository import from 'fastify-fan-out'.
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import fanOut, { type FanOutRooms } from '../index.js'

const page = 'http://localhost:8080'

const app = Fastify({
  logger: { level: 'warn' },
  // A room's name has up to 200 characters; Fastify takes 100 unless told.
  routerOptions: { maxParamLength: 200 }
})
await app.register(cors, { origin: page })
await app.register(helmet)
// Once, on the root, before us. What clients send larger than this is cut off by it, so it bounds `limits.frame`.
await app.register(websocket, {
  options: {
    maxPayload: 64 * 1024,
    handleProtocols: (protocols: Set<string>) => protocols.has('fan-out.v1') ? 'fan-out.v1' : false
  }
})

await app.register(fanOut, { origins: [page] })
await app.register(fanOut, { prefix: '/internal', name: 'internal' })

declare module 'fastify' {
  interface FastifyInstance { internal: FanOutRooms }
}

app.get('/echo', { websocket: true }, (socket) => {
  socket.on('message', (data) => socket.send(String(data)))
})

app.get('/count', async () => ({
  rooms: app.rooms.stats().subscriptions,
  internal: app.internal.stats().subscriptions
}))

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)

// What an app on Fastify pays before it has any rooms: a bare @fastify/websocket route, and a bare POST.
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { BACKLOG, report } from './serve.js'

const app = Fastify()
await app.register(websocket)
app.get('/', { websocket: true }, (socket) => { socket.on('error', () => {}) })
// Its body is parsed by Fastify.
app.post('/:room', async (request) => ({ room: (request.params as { room: string }).room, id: '178713012644094-1' }))

report(await app.listen({ host: '127.0.0.1', port: 0, backlog: BACKLOG }))

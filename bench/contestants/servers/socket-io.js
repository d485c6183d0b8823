// The server that Socket.IO's documentation shows, in plain JavaScript: a loader of TypeScript would count
// as its memory. What its page on performance asks for is done, but for the native modules, which only
// speed up what clients send, and the frames of clients are few and small here.
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { createAdapter } from '@socket.io/redis-streams-adapter'
import { createClient } from 'redis'
import { Server } from 'socket.io'

const { redis, recovery } = JSON.parse(process.argv[2])

async function redisAdapter () {
  const name = `bench-${process.pid}`
  const client = createClient({ url: redis, name })
  client.on('error', (error) => { throw error })
  await client.connect()
  // What is published here is JSON: the adapter need not look for binary data.
  const adapter = createAdapter(client, { onlyPlaintext: true })
  // It reads on from where the stream ends at its first read: what is published before that would be missed.
  const reads = (line) => line.includes(` name=${name} `) && line.includes(' cmd=xread ')
  while (!(await client.sendCommand(['CLIENT', 'LIST'])).split('\n').some(reads)) await delay(10)
  return adapter
}

// Bare `node:http`, on which Socket.IO sits in its own examples: no framework's cost is put down to it.
const http = createServer(async (request, response) => {
  const room = decodeURIComponent(request.url.slice('/publish/'.length))
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const messages = JSON.parse(Buffer.concat(chunks).toString())
  const target = io.to(room)
  for (const message of messages) target.emit('message', message)
  // `emit` gives no promise: with Redis this answer comes before the messages are stored.
  response.setHeader('content-type', 'application/json')
  response.end(`{"published":${messages.length}}`)
})

// As long as the others': a connection that posts may be idle for longer than the default of 5 s.
http.keepAliveTimeout = 0

const io = new Server(http, {
  transports: ['websocket'],
  serveClient: false,
  ...(redis === undefined ? {} : { adapter: await redisAdapter() }),
  // 2 minutes is its default where it is on.
  ...(recovery ? { connectionStateRecovery: {} } : {})
})

io.engine.on('connection', (socket) => { socket.request = null })

io.on('connection', async (socket) => {
  const { rooms } = socket.handshake.auth
  await socket.join(rooms)
  // `local`, since with recovery a plain `socket.emit` goes through the stream in Redis as well.
  for (const room of rooms) io.local.to(socket.id).emit('joined', room)
})

process.on('disconnect', () => process.exit())
http.listen(0, '127.0.0.1', () => process.send(http.address().port))

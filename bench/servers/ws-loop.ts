// What most tutorials show: `for (const client of clients) client.send(text)`, with a set of clients a room.
import type { WebSocket } from 'ws'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { WebSocketServer } from 'ws'
import { listen } from './serve.js'

const rooms = new Map<string, Set<WebSocket>>()

const server = createServer((request, response) => {
  void text(request).then((body) => {
    const room = request.url!.slice(1)
    for (const data of (JSON.parse(body) as { messages: unknown[] }).messages) {
      const message = JSON.stringify({ type: 'message', room, data })
      for (const client of rooms.get(room) ?? []) client.send(message)
    }
    response.setHeader('content-type', 'application/json').end('{"published":true}')
  })
})

new WebSocketServer({ server }).on('connection', (client) => {
  client.on('message', (frame) => {
    for (const room of String(frame).split('\n')) {
      let clients = rooms.get(room)
      if (clients === undefined) rooms.set(room, clients = new Set())
      clients.add(client)
      client.send(`joined ${room}`)
    }
  })
  client.on('error', () => {})
  client.on('close', () => { for (const clients of rooms.values()) clients.delete(client) })
})

await listen(server)

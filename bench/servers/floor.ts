// The floor: what Node's sockets do where nothing else is done. A frame is encoded once, and written to each socket of the
// room, one write a message, or one a batch.
import type { Socket } from 'node:net'
import { createServer } from 'node:http'
import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { options } from '../ipc.js'
import { listen } from './serve.js'

const { writes } = options<{ writes: 'message' | 'batch' }>()
const rooms = new Map<string, Set<Socket>>()
let offset = 0

function frame (text: string): Buffer {
  const payload = Buffer.from(text)
  const header = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10)
  header[0] = 0x81
  header[1] = payload.length < 126 ? payload.length : payload.length < 65_536 ? 126 : 127
  if (header.length === 4) header.writeUInt16BE(payload.length, 2)
  if (header.length === 10) header.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([header, payload])
}

function publish (room: string, messages: unknown[]): void {
  // The envelope is ours, so that as many bytes are written.
  const frames = messages.map((data) => frame(JSON.stringify({ type: 'message', room, id: `178713012644094-${++offset}`, data })))
  const buffers = writes === 'batch' ? [Buffer.concat(frames)] : frames
  for (const socket of rooms.get(room) ?? []) for (const buffer of buffers) socket.write(buffer)
}

/** The names of rooms, a line each, in text frames as the load sends them: whole, below 64 KiB, masked with zeros. */
function join (socket: Socket, chunk: Buffer): void {
  for (let at = 0; at < chunk.length;) {
    const extended = (chunk[at + 1]! & 0x7F) === 126
    const length = extended ? chunk.readUInt16BE(at + 2) : chunk[at + 1]! & 0x7F
    const start = at + (extended ? 8 : 6)
    const opcode = chunk[at]! & 0xF
    at = start + length
    if (opcode === 0x9) {
      socket.write(Buffer.from([0x8A, 0x00]))
      continue
    }
    for (const room of chunk.toString('utf8', start, at).split('\n')) {
      let sockets = rooms.get(room)
      if (sockets === undefined) rooms.set(room, sockets = new Set())
      sockets.add(socket)
      socket.write(frame(`joined ${room}`))
    }
  }
}

const server = createServer((request, response) => {
  void text(request).then((body) => {
    publish(request.url!.slice(1), (JSON.parse(body) as { messages: unknown[] }).messages)
    response.setHeader('content-type', 'application/json').end('{"published":true}')
  })
})

server.on('upgrade', (request, socket: Socket) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  socket.setNoDelay(true)
  socket.on('data', (chunk: Buffer) => join(socket, chunk))
  socket.on('error', () => {})
  socket.on('close', () => { for (const sockets of rooms.values()) sockets.delete(socket) })
})

await listen(server)

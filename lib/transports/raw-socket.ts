import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'

/**
 * The stream below a WebSocket. A frame that is encoded once for all its subscribers can only be written there: ws frames
 * whatever it is given, once for each socket. It is the one private field of ws that we use; `test/transports/raw-socket.test.ts`
 * fails where it moves. Writing past ws is sound as long as nothing is sent through it but pings, pongs and closes,
 * which it writes at once: it queues only behind a message that it is compressing.
 */
export function rawSocket (websocket: WebSocket): Duplex {
  const socket = (websocket as unknown as { _socket?: Duplex })._socket
  if (typeof socket?.write !== 'function') throw new Error('fastify-fan-out: this version of ws keeps its socket elsewhere; install ws 8')
  return socket
}

import type { FastifyInstance } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Settings } from './options.js'
import { Socket } from 'node:net'
import websocket from '@fastify/websocket'
import { errors } from './errors.js'
import { joinWritesOfTurn } from './transports/join-writes.js'
import { rawSocket } from './transports/raw-socket.js'

/**
 * Makes sure that @fastify/websocket is there, once: the app's own, registered before us, or one that we register. Two of
 * them would both take every upgrade, and the second fail with ERR_HTTP_SOCKET_ASSIGNED.
 */
export async function useWebSocketServer (app: FastifyInstance, settings: Settings): Promise<void> {
  if (app.hasDecorator('websocketServer')) checkLimits(app, settings)
  else await app.register(websocket, { options: serverOptions(settings), preClose: closeOthers })
  // The answer to the handshake and the welcome after it go out together.
  app.server.prependListener('upgrade', (_request: IncomingMessage, socket: Duplex) => joinWritesOfTurn(socket))
  app.server.on('upgrade', endIfAnswered)
  // A sibling scope may yet register another: only when all plugins are loaded is it known.
  app.addHook('onReady', async () => {
    const servers = app.server.listeners('upgrade').filter(({ name }) => name === 'onUpgrade').length
    if (servers > 1) throw new errors.WebSocketConflict('@fastify/websocket is registered more than once on this server; register it once, on the root instance and before fastify-fan-out')
  })

  /** The sockets of other routes; ours are taken out of `clients` when they are opened, and closed by `Connections.drain`. */
  function closeOthers (this: unknown, done: () => void): void {
    for (const client of app.websocketServer.clients) client.close(1001)
    app.websocketServer.close()
    done()
  }
}

/**
 * What the router answers by itself (a URL that does not decode, a name that is too long) passes no hook, and so
 * @fastify/websocket, which was asked before, does not let go of its socket: it would be left open for ever, and
 * app.close() wait for it.
 */
function endIfAnswered (_request: IncomingMessage, socket: Duplex): void {
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: ServerResponse }
  // That of `app.injectWS` is no socket of node:net, and needs none of it.
  if (response?.writableEnded === true && socket instanceof Socket) socket.destroySoon()
}

/**
 * Lets go of the response that the handshake was routed with, which its socket would keep: nothing is written to it any
 * more, and it is about as large as all that a connection needs.
 */
export function releaseResponse (websocket: WebSocket): void {
  const socket = rawSocket(websocket) as Socket & { _httpMessage?: ServerResponse }
  socket._httpMessage?.detachSocket(socket)
}

function serverOptions ({ limits, close, compression }: Settings): object {
  return {
    maxPayload: limits.frame,
    // A frame of a client is small, and need come neither in more fragments than this nor in more pieces.
    maxFragments: 128,
    maxBufferedChunks: 4096,
    closeTimeout: close.timeout,
    // Only the protocol itself is echoed, never a token that was sent as one.
    handleProtocols: (protocols: Set<string>) => protocols.has('fan-out.v1') ? 'fan-out.v1' : false,
    perMessageDeflate: compression && { serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 2 }
  }
}

function checkLimits (app: FastifyInstance, { limits, compression }: Settings): void {
  const { maxPayload = 0, perMessageDeflate, handleProtocols } = app.websocketServer.options
  if (maxPayload === 0 || maxPayload > limits.frame) {
    app.log.warn(`fan-out: the app's @fastify/websocket takes frames of ${maxPayload} bytes, above options.limits.frame (${limits.frame}); set its maxPayload, so that larger ones are cut off before they are read`)
  }
  if (maxPayload !== 0 && maxPayload < limits.frame) {
    app.log.warn(`fan-out: @fastify/websocket was registered with a maxPayload of ${maxPayload}, below options.limits.frame (${limits.frame}), and cuts larger frames off`)
  }
  if (handleProtocols === undefined) {
    app.log.warn('fan-out: the app\'s @fastify/websocket has no handleProtocols, and so answers with the first subprotocol that a client offers, be it a token; see docs/living-with-an-app.md')
  }
  if (compression && (perMessageDeflate === undefined || perMessageDeflate === false)) {
    app.log.warn('fan-out: options.compression needs perMessageDeflate in the options of the app\'s @fastify/websocket')
  }
}

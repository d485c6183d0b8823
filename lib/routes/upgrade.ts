import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Services } from '../services.js'
import { errors } from '../errors.js'
import { releaseResponse } from '../websocket-server.js'
import { WebSocketConnection } from '../transports/websocket.js'
import { upgradeSchema } from './schemas.js'

/** GET /rooms: the WebSocket, and 426 for who comes without an Upgrade. */
export function upgradeRoute (scope: FastifyInstance, services: Services): void {
  const { hooks = {} } = services.settings
  function checkOrigin (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
    done(request.ws && !services.access.allowsOrigin(request) ? new errors.Origin() : undefined)
  }
  scope.route({
    method: 'GET',
    url: '/',
    prefixTrailingSlash: 'no-slash',
    schema: upgradeSchema,
    exposeHeadRoute: false,
    onRequest: [hooks.onRequest ?? [], checkOrigin].flat() as never,
    ...(hooks.preHandler !== undefined && { preHandler: hooks.preHandler }),
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket')
      throw new errors.UpgradeRequired()
    },
    wsHandler (websocket, request) {
      // Else the server's shutdown would close it with 1005, before we can say why (1001).
      scope.websocketServer.clients.delete(websocket)
      // Else @fastify/websocket would cut it off at a mistake of the client's, before that has read what it was.
      websocket.removeAllListeners('error')
      releaseResponse(websocket)
      WebSocketConnection.open(services, websocket, request, framesOf(request))
    }
  })
}

/** The subscribes that `?room=` and `?since=` stand for: one `since` for all rooms, or one for each, in their order. What is wrong with them is answered as for any frame. */
function framesOf (request: FastifyRequest): object[] {
  const query = request.query as { room?: string | string[], since?: string | string[] }
  const rooms = [query.room ?? []].flat()
  const sinces = [query.since ?? []].flat()
  return rooms.map((room, i) => {
    const since = sinces.length === 1 ? sinces[0] : sinces[i]
    return { type: 'subscribe', room, since }
  })
}

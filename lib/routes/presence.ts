import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.js'
import { guarded, roomOf } from './guard.js'
import { presenceSchema } from './schemas.js'

/** GET /rooms/:room/presence: who is in the room. */
export function presenceRoute (scope: FastifyInstance, services: Services): void {
  scope.get('/:room/presence', { schema: presenceSchema, ...guarded(services, 'presence') }, async (request, reply) => {
    const room = roomOf(request)
    const members = await services.api.presence(room)
    reply.header('cache-control', 'no-store')
    return { room, count: members.length, members }
  })
}

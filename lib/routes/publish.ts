import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.js'
import { publisherOf } from '../access.js'
import { oneHeader } from './headers.js'
import { bodyOf } from './body.js'
import { callerOf, guarded, refuseWhileDraining, roomOf } from './guard.js'
import { publishSchema } from './schemas.js'

/** POST /rooms/:room: its body is one message. */
export function publishRoute (scope: FastifyInstance, services: Services): void {
  scope.post('/:room', { schema: publishSchema, ...guarded(services, 'publish') }, async (request) => {
    refuseWhileDraining(services)
    const idempotencyKey = oneHeader(request, 'idempotency-key')
    const { room, id, duplicate } = await services.api.publishText({ room: roomOf(request), text: bodyOf(request).text, idempotencyKey }, publisherOf(callerOf(request)))
    return { room, id, ...(duplicate && { duplicate }) }
  })
}

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { Caller } from '../access.js'
import type { Services } from '../services.js'
import { errors, retryAfter } from '../errors.js'
import { isRoomName } from '../room-name.js'

const caller = Symbol('fan-out.caller')

/** To be called for the scope of the routes. */
export function addGuard (scope: FastifyInstance): void {
  scope.decorateRequest(caller, null)
}

/** Who sends a request; set for every route that `guarded` is given to. */
export function callerOf (request: FastifyRequest): Caller {
  return (request as unknown as { [caller]: Caller })[caller]
}

/** The room that the URL names, which `guarded` has checked. */
export function roomOf (request: FastifyRequest): string {
  return (request.params as { room: string }).room
}

/**
 * What every HTTP route does before its body is read: the app's own hooks, then who sends it, then whether the room's
 * name is one, then, where the route is for one `action`, whether it may.
 */
export function guarded (services: Services, action?: 'subscribe' | 'publish' | 'presence'): Pick<RouteShorthandOptions, 'onRequest' | 'preHandler'> {
  const { access, settings: { hooks = {} } } = services
  async function guard (request: FastifyRequest, _reply: FastifyReply): Promise<void> {
    const found = access.identify(request, access.tokenOf(request))
    const known = found instanceof Promise ? await found : found
    Object.assign(request, { [caller]: known })
    if (action === undefined) return
    const room = roomOf(request)
    if (!isRoomName(room)) throw new errors.InvalidRoom()
    await access.allow(known, action, room)
  }
  return { onRequest: [hooks.onRequest ?? [], guard].flat(), ...(hooks.preHandler !== undefined && { preHandler: hooks.preHandler }) } as Pick<RouteShorthandOptions, 'onRequest' | 'preHandler'>
}

/** Throws where the server is leaving, and takes no new work. */
export function refuseWhileDraining (services: Services): void {
  if (services.connections.draining) throw retryAfter(new errors.Closing())
}

import type { FastifyInstance } from 'fastify'

/**
 * `/health/live`: the process answers; restart it when this fails.
 * `/health/ready`: send it clients; falls while the broker is away and before the server leaves.
 */
export function addHealth (app: FastifyInstance): void {
  app.get('/health/live', { logLevel: 'warn' }, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    return { status: 'ok' }
  })

  app.get('/health/ready', { logLevel: 'warn' }, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    if (app.rooms.ready) return { status: 'ok' }
    reply.code(503)
    return { status: 'unavailable' }
  })
}

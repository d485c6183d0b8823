import type { FastifyInstance } from 'fastify'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

// Only the build makes them, wherever this file is read from.
const built = new URL(import.meta.url.includes('/dist/') ? '../../client/browser/' : '../../dist/client/browser/', import.meta.url)

/** GET /rooms/client.js: the client for script tags, and what it loads where it needs it. GET /rooms/tabs.js: what shares its connection between tabs. */
export function clientRoutes (scope: FastifyInstance): void {
  for (const name of ['client.js', 'event-streams.js', 'history.js', 'tabs.js']) {
    const text = readFileSync(new URL(name, built), 'utf8')
    const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
    scope.get(`/${name}`, { schema: { hide: true } as object, logLevel: 'warn' }, async (request, reply) => {
      // Modules of other origins are fetched with CORS; there is nothing in them to hide.
      reply.headers({ etag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin' })
      if (request.headers['if-none-match'] === etag) return await reply.code(304).send()
      return await reply.type('text/javascript; charset=utf-8').send(text)
    })
  }
}

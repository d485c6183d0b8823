import type { FastifyRequest } from 'fastify'

/** The value of a header that may come once. Node joins the values of one that came more often, which its reader then refuses for what it is. */
export function oneHeader (request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

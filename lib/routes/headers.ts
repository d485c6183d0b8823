import type { FastifyRequest } from 'fastify'
import { isUtf8 } from 'node:buffer'

/**
 * The value of a header that may come once. Node joins the values of one that came more often, which its reader then
 * refuses for what it is. Bytes beyond ASCII, which Node reads as Latin-1, are taken for UTF-8 where they are that.
 */
export function oneHeader (request: FastifyRequest, name: string): string | undefined {
  const value = [request.headers[name] ?? []].flat()
  if (value.length === 0) return undefined
  const text = value.join(', ')
  const bytes = Buffer.from(text, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : text
}

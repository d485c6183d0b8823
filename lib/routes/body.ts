import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { JsonText } from '../json.js'
import type { IncomingMessage } from 'node:http'
import { errors } from '../errors.js'
import { parseJson } from '../json.js'

const MEDIA_TYPE = /^\s*application\/json\s*(;|$)/i

/**
 * Bodies of our routes: only JSON, kept as the text it is beside its value. Fastify's own parser would refuse
 * `__proto__` inside a message, which is merely handed on here, and give back no text.
 */
export function addBodyParser (scope: FastifyInstance, limit: number): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', async (request: FastifyRequest, payload: IncomingMessage) => parseJson(await readAll(request, payload, limit)))
  scope.addContentTypeParser('*', async () => { throw new errors.MediaType() })
  // Fastify answers what is no media type at all by itself, with a code of its own.
  scope.addHook('preParsing', async ({ method, headers }) => {
    if (method === 'POST' && headers['content-type'] !== undefined && !MEDIA_TYPE.test(headers['content-type'])) throw new errors.MediaType()
  })
}

/** The body of a request, or FAN_OUT_ERR_INVALID_JSON where it had none. */
export function bodyOf (request: FastifyRequest): JsonText {
  if (request.body === undefined || request.body === null) throw new errors.InvalidJson('it is empty')
  return request.body as JsonText
}

async function readAll (request: FastifyRequest, payload: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = Number(request.headers['content-length'] ?? 0)
  if (size > limit) throw tooLarge(request, limit)
  size = 0
  for await (const chunk of payload.iterator?.({ destroyOnReturn: false }) ?? payload) {
    size += (chunk as Buffer).length
    if (size > limit) throw tooLarge(request, limit)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

/** What is left of the body is not read, so the connection is of no more use. */
function tooLarge (request: FastifyRequest, limit: number): Error {
  const error = new errors.TooLarge(`a body may have ${limit} bytes`) as Error & { headers?: object }
  if (request.raw.httpVersionMajor === 1) error.headers = { connection: 'close' }
  return error
}

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
  scope.addContentTypeParser('application/json', (request: FastifyRequest, payload: IncomingMessage, done) => readAll(request, payload, limit, done))
  scope.addContentTypeParser('*', async () => { throw new errors.MediaType() })
  // Fastify answers what is no media type at all by itself, with a code of its own.
  scope.addHook('preParsing', ({ method, headers }, _reply, _payload, done) => {
    if (method === 'POST' && headers['content-type'] !== undefined && !MEDIA_TYPE.test(headers['content-type'])) done(new errors.MediaType())
    else done()
  })
}

/** The body of a request, or FAN_OUT_ERR_INVALID_JSON where it had none. */
export function bodyOf (request: FastifyRequest): JsonText {
  if (request.body === undefined || request.body === null) throw new errors.InvalidJson('it is empty')
  return request.body as JsonText
}

function readAll (request: FastifyRequest, payload: IncomingMessage, limit: number, done: (error: Error | null, body?: JsonText) => void): void {
  if (Number(request.headers['content-length']) > limit) return done(tooLarge(request, limit))
  const chunks: Buffer[] = []
  let size = 0
  let ended = false
  payload.on('data', onData)
  payload.on('end', onEnd)
  // For good: what breaks off after its answer is nobody's error.
  payload.on('error', end)

  function onData (chunk: Buffer): void {
    size += chunk.length
    chunks.push(chunk)
    if (size > limit) end(tooLarge(request, limit))
  }
  function onEnd (): void {
    try {
      end(null, parseJson(chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks)))
    } catch (error) {
      end(error as Error)
    }
  }
  function end (error: Error | null, body?: JsonText): void {
    if (ended) return
    ended = true
    if (error !== null) payload.off('data', onData).off('end', onEnd).pause()
    done(error, body)
  }
}

/** What is left of the body is not read, so the connection is of no more use. */
function tooLarge (request: FastifyRequest, limit: number): Error {
  const error = new errors.TooLarge(`a body may have ${limit} bytes`) as Error & { headers?: object }
  if (request.raw.httpVersionMajor === 1) error.headers = { connection: 'close' }
  return error
}

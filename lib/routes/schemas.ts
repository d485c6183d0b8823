import type { FastifySchemaValidationError } from 'fastify'
import type { FastifySchema } from 'fastify'
import { errors } from '../errors.js'

const cursor = { type: 'string', description: 'A cursor, `<epoch>-<offset>`: opaque, to be handed back as it was received.', examples: ['1713-42'] }
const room = { type: 'string', description: 'A room: 1 to 200 bytes of UTF-8 without control characters.', examples: ['chat:42'] }
const duplicate = { type: 'boolean', description: 'Present, and true, where the key was seen before: the id is that of the first publish, and nothing was published.' }
const anyJson = { description: 'Any JSON value.' }
const error = {
  type: 'object',
  properties: { statusCode: { type: 'integer' }, code: { type: 'string' }, error: { type: 'string' }, message: { type: 'string' } },
  additionalProperties: true
}
const tags = ['rooms']

const params = { type: 'object', required: ['room'], properties: { room } }
const failures = (...codes: number[]): object => Object.fromEntries([400, 401, 403, 503, ...codes].map((code) => [code, { description: 'See the code.', ...error }]))

export const publishSchema: FastifySchema & Record<string, unknown> = {
  summary: 'Publish a message to a room',
  tags,
  params,
  headers: { type: 'object', properties: { 'idempotency-key': { type: 'string', description: '1 to 128 bytes. The same key, in the same room, by the same publisher, publishes once within 5 minutes.' } } },
  body: anyJson,
  response: {
    200: { description: 'It is in the window.', type: 'object', required: ['room', 'id'], properties: { room, id: cursor, duplicate } },
    ...failures(413, 415, 429)
  }
}

const entry = { type: 'object', required: ['room', 'data'], properties: { room, data: anyJson, idempotencyKey: { type: 'string' } } }

export const batchSchema: FastifySchema & Record<string, unknown> = {
  summary: 'Publish many messages, or one message to many rooms',
  tags,
  body: {
    oneOf: [
      { type: 'object', required: ['messages'], properties: { messages: { type: 'array', items: entry } } },
      { type: 'object', required: ['rooms', 'data'], properties: { rooms: { type: 'array', items: room }, data: anyJson } }
    ]
  },
  response: {
    200: {
      description: 'One result for each, in the order asked. The batch is not atomic.',
      type: 'object',
      properties: {
        failed: { type: 'integer' },
        results: { type: 'array', items: { type: 'object', properties: { room, id: cursor, duplicate, error: { ...error, required: ['statusCode', 'code', 'message'] } } } }
      }
    },
    ...failures(413, 415)
  }
}

export const historySchema: FastifySchema & Record<string, unknown> = {
  summary: 'Read the replay window of a room',
  tags,
  params,
  querystring: {
    type: 'object',
    properties: {
      since: { ...cursor, description: 'Exclusive; without it reading starts at the oldest message retained.' },
      limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
      order: { type: 'string', enum: ['asc', 'desc'], default: 'asc', description: '`desc`: the newest first, not paged.' }
    }
  },
  response: {
    200: {
      description: '`id` is the cursor for the next page; `complete` is false where messages after `since` are missing.',
      type: 'object',
      properties: {
        room,
        id: cursor,
        complete: { type: 'boolean' },
        more: { type: 'boolean' },
        messages: { type: 'array', items: { type: 'object', properties: { id: cursor, data: anyJson } } }
      }
    },
    ...failures()
  }
}

export const eventsSchema: FastifySchema & Record<string, unknown> = {
  summary: 'The messages of a room as Server-Sent Events',
  tags,
  params,
  querystring: { type: 'object', properties: { since: { ...cursor, description: 'The position to resume from, or `earliest`; a Last-Event-ID header beats it.' }, replay: { type: 'integer', minimum: 0, description: 'Where there is no position: begin with the last so many messages.' } } },
  headers: { type: 'object', properties: { 'last-event-id': cursor } },
  produces: ['text/event-stream'],
  response: { 200: { description: 'Events `subscribed`, `gap` and `snapshot`, and messages as the default event.', type: 'string' }, ...failures(429) }
}

export const presenceSchema: FastifySchema & Record<string, unknown> = {
  summary: 'Who is in a room',
  tags,
  params,
  response: {
    200: {
      description: 'One member for each subscription.',
      type: 'object',
      properties: {
        room,
        count: { type: 'integer' },
        members: { type: 'array', items: { type: 'object', properties: { connection: { type: 'string' }, user: { type: 'string' }, info: {} } } }
      }
    },
    ...failures(404)
  }
}

export const upgradeSchema: FastifySchema & Record<string, unknown> = {
  summary: 'The WebSocket',
  description: 'Many rooms on one connection. `room` (repeatable) and `since` subscribe at once.',
  tags,
  querystring: { type: 'object', properties: { room: { type: ['string', 'array'], items: { type: 'string' } }, since: { type: ['string', 'array'], items: { type: 'string' } } } },
  response: { 101: { description: 'The protocol is fan-out.v1.', type: 'null' }, 426: { description: 'There was no Upgrade.', ...error } }
}

/** What a schema refuses, with a code of ours. */
export function schemaError (problems: FastifySchemaValidationError[], part: string): Error {
  const [problem] = problems
  return new errors.InvalidRequest(`${part}${problem?.instancePath ?? ''} ${problem?.message ?? 'is invalid'}`)
}

import type { FastifyInstance } from 'fastify'
import type { Cursor } from '../cursor.js'
import type { FanOutError } from '../errors.js'
import type { Services } from '../services.js'
import { parseCursor } from '../cursor.js'
import { asFanOutError, errors } from '../errors.js'
import { EventStream, comeBack } from '../transports/events.js'
import { callerOf, guarded, roomOf } from './guard.js'
import { oneHeader } from './headers.js'
import { eventsSchema } from './schemas.js'

/** GET /rooms/:room/events: the room as Server-Sent Events. */
export function eventsRoute (scope: FastifyInstance, services: Services): void {
  scope.get('/:room/events', { schema: eventsSchema, ...guarded(services, 'subscribe') }, async (request, reply) => {
    // An EventSource repeats its URL's ?since= for ever, and sends the last id it has seen beside it.
    const lastEventId = oneHeader(request, 'last-event-id')
    const since = readPosition(lastEventId ?? (request.query as { since?: string }).since)
    try {
      const refusal = services.connections.refusal(request.raw.socket === undefined ? undefined : request.ip)
      if (refusal !== undefined) throw refusal
      await new EventStream(services, request, reply, callerOf(request), roomOf(request)).subscribe(since)
    } catch (error) {
      if (lastEventId === undefined || !isForNow(asFanOutError(error))) throw error
      comeBack(reply)
    }
    return reply
  })
}

function readPosition (text: string | undefined): Cursor | 'earliest' | undefined {
  if (text === undefined || text === 'earliest') return text
  const cursor = parseCursor(text)
  if (cursor === undefined) throw new errors.InvalidCursor()
  return cursor
}

/** Whether the same request may succeed later. */
function isForNow ({ statusCode }: FanOutError): boolean {
  return statusCode === 503 || statusCode === 429
}

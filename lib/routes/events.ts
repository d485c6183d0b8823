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
  // Of a stream Fastify's own HEAD route would only ever send the headers, and never end.
  scope.get('/:room/events', { schema: eventsSchema, exposeHeadRoute: false, ...guarded(services, 'subscribe') }, async (request, reply) => {
    // An EventSource repeats its URL's ?since= for ever, and sends the last id it has seen beside it.
    const lastEventId = oneHeader(request, 'last-event-id')
    const { since: text, replay: last } = request.query as { since?: string, replay?: number }
    const since = lastEventId === undefined && text === 'earliest' ? text : readCursor(lastEventId ?? text)
    try {
      const refusal = services.connections.refusal(services.connections.addressOf(request))
      if (refusal !== undefined) throw refusal
      await new EventStream(services, request, reply, callerOf(request), roomOf(request)).subscribe({ since, last })
    } catch (error) {
      if (lastEventId === undefined || !isForNow(asFanOutError(error))) throw error
      comeBack(reply)
    }
    return reply
  })
}

function readCursor (text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined
  const cursor = parseCursor(text)
  if (cursor === undefined) throw new errors.InvalidCursor()
  return cursor
}

/** Whether the same request may succeed later. */
function isForNow ({ statusCode }: FanOutError): boolean {
  return statusCode === 503 || statusCode === 429
}

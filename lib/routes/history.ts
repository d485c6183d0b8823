import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.js'
import { parseCursor } from '../cursor.js'
import { errors } from '../errors.js'
import { readHistory } from '../history.js'
import { guarded, roomOf } from './guard.js'
import { historySchema } from './schemas.js'

/** GET /rooms/:room/history: the window, in pages. */
export function historyRoute (scope: FastifyInstance, services: Services): void {
  scope.get('/:room/history', { schema: historySchema, ...guarded(services, 'subscribe') }, async (request, reply) => {
    const { since: text, limit, order } = request.query as { since?: string, limit: number, order: 'asc' | 'desc' }
    const since = text === undefined ? undefined : parseCursor(text)
    if (text !== undefined && since === undefined) throw new errors.InvalidCursor()
    const { messages, ...page } = await readHistory(services.rooms, roomOf(request), { since, limit, order })
    // Put together by hand, so that the messages stay the text they are.
    const list = messages.map(({ id, text }) => `{"id":"${id}","data":${text}}`).join()
    return await reply
      .header('cache-control', 'no-store')
      .type('application/json; charset=utf-8')
      .send(`${JSON.stringify(page).slice(0, -1)},"messages":[${list}]}`)
  })
}

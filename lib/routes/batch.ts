import type { FastifyInstance } from 'fastify'
import type { Outgoing } from '../brokers/broker.js'
import type { Caller } from '../access.js'
import type { JsonText } from '../json.js'
import type { Services } from '../services.js'
import { publisherOf } from '../access.js'
import { asFanOutError, errors } from '../errors.js'
import { rawElements, rawMembers } from '../json.js'
import { isRoomName } from '../room-name.js'
import { bodyOf } from './body.js'
import { callerOf, guarded, refuseWhileDraining } from './guard.js'
import { oneHeader } from './headers.js'
import { batchSchema } from './schemas.js'

type Object = Record<string, unknown>

/** POST /rooms: many messages, or one to many rooms. Each entry succeeds or fails by itself. */
export function batchRoute (scope: FastifyInstance, services: Services): void {
  scope.post('/', { schema: batchSchema, prefixTrailingSlash: 'no-slash', ...guarded(services) }, async (request) => {
    refuseWhileDraining(services)
    const entries = readEntries(bodyOf(request), oneHeader(request, 'idempotency-key'))
    const { batch } = services.settings.limits
    if (entries.length > batch) throw new errors.TooLarge(`a batch may have ${batch} messages`)
    const caller = callerOf(request)
    const allowed = await allow(services, caller, entries)
    const results = await services.api.publishTexts(allowed, publisherOf(caller))
    return {
      failed: results.filter((result) => result instanceof Error).length,
      results: results.map((result, i) => result instanceof Error ? failure(entries[i] as Entry, result) : { room: result.room, id: result.id, ...(result.duplicate && { duplicate: true }) })
    }
  })
}

interface Entry { room: unknown, message: Outgoing | Error }

function readEntries ({ text, value }: JsonText, idempotencyKey: string | undefined): Entry[] {
  const { messages, rooms, data } = isObject(value) ? value : {}
  const raw = isObject(value) ? rawMembers(text) : new Map<string, string>()
  if (Array.isArray(messages) && rooms === undefined) {
    if (idempotencyKey !== undefined) throw new errors.InvalidIdempotencyKey('with "messages" each entry has its own: set idempotencyKey there, and not the header')
    const texts = rawElements(raw.get('messages') as string)
    return messages.map((message, i) => readEntry(message, texts[i] as string))
  }
  if (Array.isArray(rooms) && messages === undefined && data !== undefined) {
    return rooms.map((room: unknown) => ({ room, message: { room: room as string, text: raw.get('data') as string, idempotencyKey } }))
  }
  throw new errors.InvalidRequest('the body takes {"messages": […]}, or {"rooms": […], "data": …}')
}

function readEntry (value: unknown, text: string): Entry {
  if (!isObject(value)) return { room: undefined, message: new errors.InvalidRequest('a message takes {"room", "data", "idempotencyKey"?}') }
  const { room, data, idempotencyKey } = value
  const message = data === undefined
    ? new errors.InvalidRequest('a message needs data')
    : { room: room as string, text: rawMembers(text).get('data') as string, idempotencyKey: idempotencyKey as string | undefined }
  return { room, message }
}

/** The messages, those that the caller may not publish turned into their errors. A room is asked about once. Throws where the caller may publish to none. */
async function allow (services: Services, caller: Caller, entries: Entry[]): Promise<Array<Outgoing | Error>> {
  const denied = new Map<string, Error>()
  const rooms = new Set(entries.map(({ room }) => room).filter(isRoomName))
  await Promise.all([...rooms].map(async (room) => {
    try {
      await services.access.allow(caller, 'publish', room)
    } catch (error) {
      denied.set(room, error as Error)
    }
  }))
  // To who may publish nothing of it a 200 would be a trap.
  const [error] = denied.values()
  if (error !== undefined && denied.size === rooms.size) throw error
  return entries.map(({ room, message }) => message instanceof Error ? message : denied.get(room as string) ?? message)
}

function failure ({ room }: Entry, thrown: Error): object {
  const { statusCode, code, message } = asFanOutError(thrown)
  return { room, error: { statusCode, code, message } }
}

function isObject (value: unknown): value is Object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

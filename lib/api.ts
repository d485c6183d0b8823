import type { ConnectionFilter, FanOutRooms, History, HistoryOptions, Member, PublishFailure, PublishOptions, PublishResult, RoomEvent, Stats, SubscribeOptions, Subscription } from '../types/index.js'
import type { Outgoing } from './brokers/broker.js'
import type { Control } from './control.js'
import type { Settings } from './options.js'
import type { Presence } from './presence/presence.js'
import type { Log } from './rooms/room-host.js'
import type { Rooms } from './rooms/rooms.js'
import type { Connections } from './transports/transport.js'
import { formatCursor, parseCursor } from './cursor.js'
import { asFanOutError, errors } from './errors.js'
import { readHistory } from './history.js'
import { oneLine } from './json.js'
import { isRoomName } from './room-name.js'
import { subscribeInProcess } from './transports/in-process.js'

export interface ApiParts {
  settings: Settings
  rooms: Rooms
  connections: Connections
  control: Control
  presence: Presence | undefined
  log: Log
  ready: () => boolean
}

/** `app.rooms`, and what the routes publish through: every message enters here, whatever way it came. */
export class Api implements FanOutRooms {
  readonly #parts: ApiParts

  constructor (parts: ApiParts) {
    this.#parts = parts
  }

  get ready (): boolean {
    return this.#parts.ready() && !this.#parts.connections.draining
  }

  async publish (room: string, data: unknown, options: PublishOptions = {}): Promise<PublishResult> {
    return await this.publishText({ room, text: toText(data), idempotencyKey: options.idempotencyKey }, 'app')
  }

  async publishMany (messages: Array<{ room: string, data: unknown } & PublishOptions>): Promise<Array<PublishResult | PublishFailure>> {
    const outgoing = messages.map(({ room, data, idempotencyKey }): Outgoing | Error => {
      try {
        return { room, text: toText(data), idempotencyKey }
      } catch (error) {
        return error as Error
      }
    })
    const results = await this.publishTexts(outgoing, 'app')
    return results.map((result, i) => result instanceof Error ? { room: messages[i]!.room, error: asFanOutError(result) } : result)
  }

  /** Publishes JSON texts; an Error among them stands for a message that was refused before, and is its result. */
  async publishTexts (messages: ReadonlyArray<Outgoing | Error>, publisher: string): Promise<Array<PublishResult | Error>> {
    const results: Array<PublishResult | Error> = []
    const accepted: Array<Outgoing & { index: number }> = []
    for (const [index, message] of messages.entries()) {
      const refused = message instanceof Error ? message : this.#refusal(message)
      if (refused !== undefined) results[index] = refused
      else accepted.push(toOutgoing(message as Outgoing, publisher, index))
    }
    const published = accepted.length === 0 ? [] : await this.#parts.rooms.publish(accepted)
    for (const [i, { room, index }] of accepted.entries()) {
      const result = published[i] as (typeof published)[number]
      results[index] = result instanceof Error ? result : { room, id: formatCursor(result.id), duplicate: result.duplicate }
    }
    return results
  }

  async publishText (message: Outgoing, publisher: string): Promise<PublishResult> {
    const [result] = await this.publishTexts([message], publisher)
    if (result instanceof Error) throw asFanOutError(result)
    return result as PublishResult
  }

  #refusal ({ room, text, idempotencyKey }: Outgoing): Error | undefined {
    const { body } = this.#parts.settings.limits
    if (!isRoomName(room)) return new errors.InvalidRoom()
    if (Buffer.byteLength(text) > body) return new errors.TooLarge(`a message may have ${body} bytes`)
    if (idempotencyKey === undefined) return undefined
    if (typeof idempotencyKey !== 'string' || idempotencyKey === '' || Buffer.byteLength(idempotencyKey) > 128) return new errors.InvalidIdempotencyKey('it takes 1 to 128 bytes')
    return undefined
  }

  subscribe<Data = unknown> (room: string, handler: (event: RoomEvent<Data>) => unknown): Promise<Subscription>
  subscribe<Data = unknown> (room: string, options: SubscribeOptions, handler: (event: RoomEvent<Data>) => unknown): Promise<Subscription>
  async subscribe (room: string, ...rest: [unknown, unknown?]): Promise<Subscription> {
    const [options, handler] = typeof rest[0] === 'function' ? [{}, rest[0]] : rest as [SubscribeOptions, unknown]
    if (!isRoomName(room)) throw new errors.InvalidRoom()
    if (typeof handler !== 'function') throw new errors.InvalidRequest('subscribe takes a function as its last argument')
    return await subscribeInProcess(this.#parts.rooms, this.#parts.log, room, options ?? {}, handler as (event: RoomEvent) => unknown)
  }

  async history<Data = unknown> (room: string, options: HistoryOptions = {}): Promise<History<Data>> {
    if (!isRoomName(room)) throw new errors.InvalidRoom()
    const { since: text, limit = 100, order = 'asc' } = options
    const since = text === undefined ? undefined : parseCursor(text)
    if (text !== undefined && since === undefined) throw new errors.InvalidCursor()
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) throw new errors.InvalidRequest('limit takes 1 to 1,000')
    if (order !== 'asc' && order !== 'desc') throw new errors.InvalidRequest('order takes "asc" or "desc"')
    const { messages, ...rest } = await readHistory(this.#parts.rooms, room, { since, limit, order })
    return { ...rest, messages: messages.map(({ id, text }) => ({ id, data: JSON.parse(text) as Data })) }
  }

  async presence (room: string): Promise<Member[]> {
    if (!isRoomName(room)) throw new errors.InvalidRoom()
    if (this.#parts.presence === undefined) throw new errors.NoPresence()
    return await this.#parts.presence.members(room)
  }

  async unsubscribe (room: string, filter: ConnectionFilter, reason = 'taken out by the application'): Promise<void> {
    if (!isRoomName(room)) throw new errors.InvalidRoom()
    await this.#parts.control.send({ do: 'unsubscribe', room, filter, reason })
  }

  async disconnect (filter: ConnectionFilter, reason = 'disconnected by the application'): Promise<void> {
    await this.#parts.control.send({ do: 'disconnect', filter, reason })
  }

  stats (): Stats {
    const { rooms, connections } = this.#parts
    const { counts } = rooms
    return { ...rooms.usage(), connections: { ...connections.counts }, ...counts, slow: connections.slow }
  }

  async drain (options: { over?: number } = {}): Promise<void> {
    const { over = 0 } = options
    if (!Number.isFinite(over) || over < 0) throw new errors.InvalidRequest('over takes a number of ms')
    await this.#parts.connections.drain(over, this.#parts.settings.close.timeout).gone
  }
}

function toText (data: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (error) {
    throw new errors.InvalidJson((error as Error).message)
  }
  if (text === undefined) throw new errors.InvalidJson(`data of the type ${typeof data} has no JSON`)
  return text
}

function toOutgoing ({ room, text, idempotencyKey }: Outgoing, publisher: string, index: number): Outgoing & { index: number } {
  return { room, text: oneLine(text), idempotencyKey: idempotencyKey === undefined ? undefined : JSON.stringify([publisher, idempotencyKey]), index }
}

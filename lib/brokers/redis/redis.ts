import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { RedisClient } from './connection.js'
import type { Kept } from './lineage.js'
import type { Pending } from './publisher.js'
import { randomBytes, randomInt } from 'node:crypto'
import { formatCursor, parseCursor } from '../../cursor.js'
import { systemScheduler } from '../../scheduler.js'
import { Connection, clientOptions } from './connection.js'
import { Keys } from './keys.js'
import { judge, parseSegments, positionAt, windowOf } from './lineage.js'
import { Live } from './live.js'
import * as lua from './scripts.js'
import { Publisher } from './publisher.js'
import { Witnesses } from './witness.js'

const DAY = 24 * 60 * 60 * 1000

export interface RedisBrokerOptions {
  /** Whose commands are used; subscriptions go over a duplicate of it. */
  client: RedisClient
  /** The client was made for this broker, which closes it. */
  own: boolean
  keyPrefix: string
  /** The window of a room: messages, ms, bytes. */
  history: { size: number, maxAge: number, bytes: number }
  /** In ms. */
  idempotencyTtl: number
  /** How long any call may take, in ms. */
  timeout: number
  scheduler?: Scheduler
}

/** Redis: Pub/Sub carries the live messages, a Stream a room holds the window, and scripts keep both and the room's lineage in step. */
export class RedisBroker implements Broker {
  readonly #options: RedisBrokerOptions
  readonly #scheduler: Scheduler
  readonly #keys: Keys
  readonly #publisher: Publisher
  readonly #witnesses = new Witnesses()
  readonly #rooms = new Map<string, string>()
  #commands: Connection | undefined
  #live: Live | undefined
  #events: BrokerEvents | undefined
  /** Of the Redis that answered last: where it changes, all that was seen is held against the new one. */
  #identity = ''
  #sweeping = false

  constructor (options: RedisBrokerOptions) {
    this.#options = options
    this.#scheduler = options.scheduler ?? systemScheduler
    this.#keys = new Keys(options.keyPrefix)
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), options.timeout, this.#scheduler, (room, batch) => this.#send(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    const { client, own } = this.#options
    if (this.#commands === undefined) {
      this.#commands = new Connection(client, own, this.#scheduler)
      this.#live = new Live(client.duplicate(clientOptions), this.#scheduler, {
        message: (channel, payload) => this.#receive(channel, payload),
        mended: () => this.#mended()
      })
      this.#commands.open()
      this.#live.open()
    }
    const deadline = this.#deadline()
    // Before anybody counts on it: the scripts need this.
    await this.#commands.run((client) => client.eval("return redis.call('INFO', 'replication')", 0), deadline)
    await this.#live!.untilWhole(deadline)
  }

  async subscribe (room: string): Promise<Cursor> {
    const channel = this.#keys.channel(room)
    const deadline = this.#deadline()
    this.#rooms.set(channel, room)
    await this.#open.live.subscribe(channel, deadline)
    this.#witnesses.of(room).subscribed = true
    return await this.#position(room, deadline)
  }

  async unsubscribe (room: string): Promise<void> {
    const channel = this.#keys.channel(room)
    await this.#live?.unsubscribe(channel)
    if (this.#live?.wants(channel) === true) return
    this.#rooms.delete(channel)
    this.#witnesses.leave(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, request: ReadRequest): Promise<Window> {
    const deadline = this.#deadline()
    const { since, last, limit } = request
    const forebears = since && this.#witnesses.of(room).forebears(since)
    const [mode, start] = since === undefined && last !== undefined ? ['last', last] : ['since', since?.offset ?? 0]
    if (mode === 'last' && last === 0) return await this.#empty(room, deadline)
    for (let from = start; ;) {
      const { lineage, before, more, kept } = await this.#readFrom(room, mode as 'last' | 'since', from, limit, deadline)
      if (since === undefined) {
        const first = kept[0] === undefined ? lineage.top : kept[0].offset - 1
        return windowOf(lineage, kept, more, first)
      }
      const judged = judge(lineage, since, before, forebears)
      if (judged.from === from || kept.length === 0) {
        if (judged.from <= from || judged.from >= lineage.top) return this.#learn(room, windowOf(lineage, judged.from === from ? kept : [], more && judged.from === from, judged.from, since, judged.hole))
      }
      from = judged.from
    }
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    const deadline = this.#deadline()
    return await Promise.all(rooms.map(async ({ room, seen }) => {
      this.#witnesses.of(room).observe(seen)
      return await this.#position(room, deadline)
    }))
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#live?.close()
    this.#commands?.close()
  }

  get #open (): { commands: Connection, live: Live } {
    return { commands: this.#commands!, live: this.#live! }
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#options.timeout
  }
}

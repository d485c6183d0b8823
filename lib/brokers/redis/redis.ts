import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, BrokerLog, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { RedisClient } from './client.js'
import type { LiveEvents, LiveLink } from './live.js'
import { randomBytes } from 'node:crypto'
import { parseCursor } from '../../cursor.js'
import { systemScheduler } from '../../scheduler.js'
import { Publisher } from '../publisher.js'
import { Calls } from './calls.js'
import { connectionLike, isCluster } from './client.js'
import { Connection } from './connection.js'
import { Keys } from './keys.js'
import { judge, windowOf } from './lineage.js'
import { Live } from './live.js'
import { ShardedLive } from './sharded-live.js'
import { Witnesses } from './witness.js'

// How many rooms are compared at once after a change of the Redis.
const TOGETHER = 100

export interface RedisBrokerOptions {
  /** To what the broker connects. */
  client: RedisClient
  /** The client is the broker's own, and its connection for commands; one that is an app's is left alone. */
  own?: boolean
  keyPrefix: string
  /** The window of a room: messages, ms, bytes. */
  history: { size: number, maxAge: number, bytes: number }
  /** In ms. */
  idempotencyTtl: number
  /** How long any call may take, in ms. */
  timeout: number
  /** How long a start may take, in ms: as long as any call unless told. */
  startTimeout?: number
  /** So many replicas must have a publish before it is acknowledged. */
  replicas?: number
  /** See the option `brokerOptions.failover`. */
  failover?: 'detect' | 'suspect' | 'trust'
  log?: BrokerLog
  scheduler?: Scheduler
}

/**
 * Redis: Pub/Sub carries the live messages, a Stream a room holds the window, and scripts keep both and the room's
 * lineage in step (`prelude.ts`). A server tells every script what it has seen (`witness.ts`), so that a Redis that lost
 * something, as a failover can, learns of it from whoever knows.
 */
export class RedisBroker implements Broker {
  readonly #timeout: number
  readonly #startTimeout: number
  readonly #scheduler: Scheduler
  readonly #keys: Keys
  readonly #publisher: Publisher
  readonly #witnesses = new Witnesses()
  readonly #connections: Connection[] = []
  readonly #calls: Calls
  readonly #live: LiveLink
  #events: BrokerEvents | undefined
  #sweep: Promise<void> | undefined

  constructor (options: RedisBrokerOptions) {
    const { client, own = false, keyPrefix, timeout, startTimeout = timeout, scheduler = systemScheduler } = options
    this.#timeout = timeout
    this.#startTimeout = startTimeout
    this.#scheduler = scheduler
    this.#keys = new Keys(keyPrefix, client.options?.db, client.options?.keyPrefix)
    const connect = (linked: () => void): Connection => {
      const connection = new Connection(own && this.#connections.length === 0 ? client : connectionLike(client), scheduler, linked)
      this.#connections.push(connection)
      return connection
    }
    this.#calls = new Calls(options, this.#keys, this.#witnesses, connect, () => this.#doubt())
    const events: LiveEvents = {
      message: (room, payload) => this.#receive(room, payload),
      mended: (rooms) => this.#events?.doubt(rooms)
    }
    this.#live = isCluster(this.#calls.client)
      ? new ShardedLive(this.#calls.client, scheduler, events)
      : new Live(connectionLike(client), scheduler, events)
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), timeout, scheduler, (room, batch) => this.#calls.publish(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    for (const connection of this.#connections) connection.open()
    this.#live.open()
    const deadline = this.#scheduler.now() + this.#startTimeout
    await this.#calls.check(deadline)
    await this.#live.untilWhole(deadline)
  }

  async subscribe (room: string): Promise<Cursor> {
    const channel = this.#keys.channel(room)
    const deadline = this.#deadline()
    await this.#live.subscribe(room, channel, deadline)
    this.#witnesses.join(room)
    return await this.#calls.position(room, deadline)
  }

  async unsubscribe (room: string): Promise<void> {
    const channel = this.#keys.channel(room)
    await this.#live.unsubscribe(channel)
    if (!this.#live.wants(channel)) this.#witnesses.leave(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, { since, last, limit }: ReadRequest): Promise<Window> {
    const deadline = this.#deadline()
    if (since === undefined) {
      const { lineage, kept, more } = await this.#calls.read(room, last === undefined ? 'since' : 'last', last ?? 0, limit, deadline)
      return windowOf(lineage, kept, more, kept[0] === undefined ? lineage.top : kept[0].offset - 1)
    }
    const witness = this.#witnesses.get(room)
    const forebears = witness?.forebears(since)
    for (let from = since.offset; ;) {
      const { lineage, before, kept, more } = await this.#calls.read(room, 'since', from, limit, deadline)
      const judged = judge(lineage, since, before, forebears)
      if (judged.from === from) {
        const window = windowOf(lineage, kept, more, from, since, judged.hole)
        if (witness !== undefined) for (const entry of window.entries) witness.learn(entry)
        return window
      }
      // Read on from where it has to go on.
      from = judged.from
    }
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    for (const { room, seen } of rooms) this.#witnesses.of(room).observe(seen)
    const tops = await this.#calls.positions(rooms.map(({ room }) => room), this.#deadline())
    const failed = tops.find((top) => top instanceof Error)
    if (failed !== undefined && tops.every((top) => top instanceof Error)) throw failed
    // One room whose keys are in disorder must not keep the others from being compared; it is asked about again soon.
    return tops.map((top, i) => top instanceof Error ? rooms[i]!.seen : top)
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#live.close()
    for (const connection of this.#connections) connection.close()
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#timeout
  }

  #receive (room: string, payload: string): void {
    if (!payload.startsWith('m ')) {
      if (!this.#calls.announced(payload.slice(2))) this.#events?.doubt([room])
      return
    }
    const [idEnd, previousEnd] = [payload.indexOf(' ', 2), payload.indexOf(' ', payload.indexOf(' ', 2) + 1)]
    const id = parseCursor(payload.slice(2, idEnd))
    const previous = parseCursor(payload.slice(idEnd + 1, previousEnd))
    if (id === undefined || previous === undefined) return
    const message: StoredMessage = { type: 'message', id, previous, text: payload.slice(previousEnd + 1) }
    const strange = this.#witnesses.of(room).learn(message)
    this.#events?.message(room, message)
    // What was seen here before is not in the history of this message: the Redis has to be told.
    if (strange) this.#events?.doubt([room])
  }

  /** All that was seen is to be held against the Redis that is there now: the rooms' by them, the others' here. */
  #doubt (): void {
    this.#events?.doubt()
    // One that is under way began with the Redis before: it is gone through once more.
    const sweep: Promise<void> = (this.#sweep ?? Promise.resolve()).then(() => sweep === this.#sweep ? this.#compareUnsubscribed() : undefined)
    this.#sweep = sweep
  }

  async #compareUnsubscribed (): Promise<void> {
    const rooms = this.#witnesses.unsubscribed
    for (let i = 0; i < rooms.length && this.#events !== undefined; i += TOGETHER) {
      await this.#calls.positions(rooms.slice(i, i + TOGETHER), this.#deadline())
    }
  }
}

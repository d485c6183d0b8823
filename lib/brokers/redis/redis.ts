import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { RedisClient } from './connection.js'
import type { Kept, Lineage } from './lineage.js'
import type { Pending } from './publisher.js'
import { randomBytes, randomInt } from 'node:crypto'
import { formatCursor, parseCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { Connection, clientOptions } from './connection.js'
import { Keys } from './keys.js'
import { judge, parseSegments, windowOf } from './lineage.js'
import { Live } from './live.js'
import { positions } from './positions.js'
import { publish } from './publish.js'
import { Publisher } from './publisher.js'
import { read } from './read.js'
import { Script } from './script.js'
import { Witnesses } from './witness.js'

const scripts = { publish: new Script(publish), positions: new Script(positions), read: new Script(read) }

const RIGHTS = "redis.call('INFO', 'replication') redis.call('PUBLISH', ARGV[1], '')"

const DAY = 24 * 60 * 60 * 1000
// How many rooms are compared at once after a change of the Redis.
const TOGETHER = 100

export interface RedisBrokerOptions {
  /** Used for commands where it is `own`, else duplicated; subscriptions go over a duplicate in any case. */
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

/**
 * Redis: Pub/Sub carries the live messages, a Stream a room holds the window, and scripts keep both and the room's
 * lineage in step (`prelude.ts`). A server tells every script what it has seen (`witness.ts`), so that a Redis that lost
 * something, as a failover can, learns of it from whoever knows.
 */
export class RedisBroker implements Broker {
  readonly #options: RedisBrokerOptions
  readonly #scheduler: Scheduler
  readonly #keys: Keys
  readonly #publisher: Publisher
  readonly #witnesses = new Witnesses()
  #commands: Connection | undefined
  #live: Live | undefined
  #events: BrokerEvents | undefined
  /** Of the Redis that answered last. Where it changes, all that was seen is held against the new one. */
  #identity = ''
  #sweep: Promise<void> | undefined

  constructor (options: RedisBrokerOptions) {
    this.#options = options
    this.#scheduler = options.scheduler ?? systemScheduler
    const { db, keyPrefix } = options.client.options ?? {}
    this.#keys = new Keys(options.keyPrefix, db, keyPrefix)
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), options.timeout, this.#scheduler, (room, batch) => this.#send(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    const { client, own } = this.#options
    // A link that died without a close has to be cut, and one that is the app's may not be.
    this.#commands ??= new Connection(own ? client : client.duplicate(clientOptions), true, this.#scheduler)
    this.#live ??= new Live(client.duplicate(clientOptions), this.#scheduler, {
      message: (room, payload) => this.#receive(room, payload),
      mended: () => this.#events?.doubt()
    })
    this.#commands.open()
    this.#live.open()
    const deadline = this.#deadline()
    // What the scripts need the right to: better found out now.
    await this.#commands.run((client) => client.eval(RIGHTS, 0, this.#keys.channel('')), deadline)
    await this.#live.untilWhole(deadline)
  }

  async subscribe (room: string): Promise<Cursor> {
    const channel = this.#keys.channel(room)
    const deadline = this.#deadline()
    await this.#open(this.#live).subscribe(room, channel, deadline)
    this.#witnesses.join(room)
    return await this.#position(room, deadline)
  }

  async unsubscribe (room: string): Promise<void> {
    const channel = this.#keys.channel(room)
    await this.#live?.unsubscribe(channel)
    if (this.#live?.wants(channel) !== true) this.#witnesses.leave(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, { since, last, limit }: ReadRequest): Promise<Window> {
    const deadline = this.#deadline()
    if (since === undefined) {
      const { lineage, kept, more } = await this.#readFrom(room, last === undefined ? 'since' : 'last', last ?? 0, limit, deadline)
      return windowOf(lineage, kept, more, kept[0] === undefined ? lineage.top : kept[0].offset - 1)
    }
    const witness = this.#witnesses.get(room)
    const forebears = witness?.forebears(since)
    for (let from = since.offset; ;) {
      const { lineage, before, kept, more } = await this.#readFrom(room, 'since', from, limit, deadline)
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
    const deadline = this.#deadline()
    const results = await Promise.allSettled(rooms.map(async ({ room, seen }) => {
      this.#witnesses.of(room).observe(seen)
      return await this.#position(room, deadline)
    }))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined && results.every(({ status }) => status === 'rejected')) throw failed.reason
    // One room whose keys are in disorder must not keep the others from being compared; it is asked about again soon.
    return results.map((result, i) => result.status === 'fulfilled' ? result.value : rooms[i]!.seen)
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#live?.close()
    this.#commands?.close()
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#options.timeout
  }

  #open<T> (part: T | undefined): T {
    if (part === undefined || this.#events === undefined) throw retryAfter(new errors.BrokerAway('it is not open'))
    return part
  }

  async #run<T> (script: Script, room: string, brought: readonly Cursor[], deadline: number, args: ReadonlyArray<string | number>, keys: readonly string[] = []): Promise<T> {
    const allKeys = [this.#keys.meta(room), this.#keys.stream(room), ...keys]
    const lifetime = 2 * DAY + this.#options.history.maxAge
    const seen = brought.map(formatCursor).join(' ')
    return await this.#open(this.#commands).run((client) => {
      // Fresh at every try: two tries can come to two Redises, and an epoch belongs to one.
      const epoch = randomInt(1, 2 ** 48 - 1)
      return script.run<T>(client, allKeys, [epoch, this.#identity, lifetime, seen, 'PUBLISH', this.#keys.channel(room), ...args])
    }, deadline)
  }

  async #position (room: string, deadline: number): Promise<Cursor> {
    const witness = this.#witnesses.of(room)
    const brought = witness.seen
    const [top, identity] = await this.#run<[string, string]>(scripts.positions, room, brought, deadline, [])
    const position = parseCursor(top) as Cursor
    witness.confirm(brought, position)
    this.#identify(identity)
    return position
  }

  async #readFrom (room: string, mode: 'last' | 'since', from: number, limit: number, deadline: number): Promise<{ lineage: Lineage, before: number, kept: Kept[], more: boolean }> {
    const [segments, top, before, more, ...entries] = await this.#run<Array<string | number>>(scripts.read, room, [], deadline, [this.#options.history.maxAge, mode, from, limit])
    const kept: Kept[] = []
    for (let i = 0; i < entries.length; i += 2) kept.push({ offset: Number(entries[i]), text: String(entries[i + 1]) })
    return { lineage: { segments: parseSegments(String(segments)), top: Number(top) }, before: Number(before), kept, more: Number(more) === 1 }
  }

  async #send (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    const { history, idempotencyTtl, timeout } = this.#options
    const witness = this.#witnesses.of(room)
    const brought = witness.seen
    const keys = batch.map(({ idempotencyKey, token }) => this.#keys.idempotency(room, idempotencyKey === undefined ? `i:${token}` : `u:${idempotencyKey}`))
    // A try that was given up can still arrive; it must find what a later one did.
    const messages = batch.flatMap(({ text, idempotencyKey, token }) => [text, idempotencyKey === undefined ? 2 * timeout : idempotencyTtl, token])
    const deadline = Math.max(...batch.map(({ deadline }) => deadline))
    try {
      const [identity, top, ...ids] = await this.#run<string[]>(scripts.publish, room, brought, deadline, [history.size, history.maxAge, history.bytes, ...messages], keys)
      witness.confirm(brought, parseCursor(top) as Cursor)
      this.#identify(identity as string)
      return ids.map((id) => ({ id: parseCursor(id.replace('d', '')) as Cursor, duplicate: id.startsWith('d') }))
    } catch (error) {
      return batch.map(() => error as Error)
    }
  }

  #receive (room: string, payload: string): void {
    if (!payload.startsWith('m ')) return this.#events?.doubt([room])
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

  #identify (identity: string): void {
    if (identity === '' || identity === this.#identity) return
    const first = this.#identity === ''
    this.#identity = identity
    if (!first) this.#doubt()
  }

  /** All that was seen is to be held against the Redis that is there now: the rooms' by them, the others' here. */
  #doubt (): void {
    this.#events?.doubt()
    this.#sweep ??= this.#compareUnsubscribed().finally(() => { this.#sweep = undefined })
  }

  async #compareUnsubscribed (): Promise<void> {
    const rooms = this.#witnesses.unsubscribed
    for (let i = 0; i < rooms.length && this.#events !== undefined; i += TOGETHER) {
      await Promise.allSettled(rooms.slice(i, i + TOGETHER).map((room) => this.#position(room, this.#deadline())))
    }
  }
}

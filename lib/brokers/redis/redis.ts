import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, BrokerLog, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../broker.js'
import type { RedisClient } from './connection.js'
import type { Kept, Lineage } from './lineage.js'
import type { LiveEvents, LiveLink } from './live.js'
import type { Pending } from '../publisher.js'
import type { Witness } from './witness.js'
import { randomBytes, randomInt } from 'node:crypto'
import { formatCursor, parseCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { Publisher } from '../publisher.js'
import { Connection, connectionLike, isCluster } from './connection.js'
import { Identities, NONE } from './identities.js'
import { Keys } from './keys.js'
import { judge, parseSegments, windowOf } from './lineage.js'
import { Live } from './live.js'
import { positions } from './positions.js'
import { publish } from './publish.js'
import { read } from './read.js'
import { Replicas, TooFewReplicas } from './replicas.js'
import { Script } from './script.js'
import { nodeOf, ShardedLive } from './sharded-live.js'
import { Witnesses } from './witness.js'

const scripts = { publish: new Script(publish), positions: new Script(positions), read: new Script(read) }

// What the scripts need the right to, and what the Redis says of itself.
const RIGHTS = `
redis.call(ARGV[1], ARGV[2], '')
local function info (section)
  local text = redis.pcall('INFO', section)
  return type(text) == 'string' and text or ''
end
return info('replication') .. info('cluster')
`
const RIGHTS_ROOM = '\u0001fan-out:1:rights'

type Call<T> = (client: RedisClient, keys: readonly string[], args: ReadonlyArray<string | number>) => Promise<T>

const DAY = 24 * 60 * 60 * 1000
// How many rooms are compared at once after a change of the Redis.
const TOGETHER = 100

export interface RedisBrokerOptions {
  /** To what the broker connects; the client itself is left alone. */
  client: RedisClient
  keyPrefix: string
  /** The window of a room: messages, ms, bytes. */
  history: { size: number, maxAge: number, bytes: number }
  /** In ms. */
  idempotencyTtl: number
  /** How long any call may take, in ms. */
  timeout: number
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
  readonly #options: RedisBrokerOptions
  readonly #scheduler: Scheduler
  readonly #keys: Keys
  readonly #publisher: Publisher
  readonly #witnesses = new Witnesses()
  #commands: Connection | undefined
  /** For publishes: the same, unless they wait for replicas, since that blocks a connection. */
  #publishes: Connection | undefined
  readonly #replicas: Replicas | undefined
  #live: LiveLink | undefined
  #events: BrokerEvents | undefined
  /** Where one changes, or without them a link, all that was seen is held against the Redis that is there now. */
  readonly #identities: Identities
  /** Why the subscribers were not sent the last message, where they were not. */
  #unsent = ''
  #sweep: Promise<void> | undefined

  constructor (options: RedisBrokerOptions) {
    this.#options = options
    this.#identities = new Identities((options.failover ?? 'detect') === 'detect', options.log)
    this.#scheduler = options.scheduler ?? systemScheduler
    if ((options.replicas ?? 0) > 0) this.#replicas = new Replicas(options.replicas as number)
    const { db, keyPrefix } = options.client.options ?? {}
    this.#keys = new Keys(options.keyPrefix, db, keyPrefix)
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), options.timeout, this.#scheduler, (room, batch) => this.#send(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    const { client } = this.#options
    this.#commands ??= this.#connect()
    this.#publishes ??= this.#replicas === undefined ? this.#commands : this.#connect()
    this.#live ??= this.#newLive(this.#commands.client)
    this.#commands.open()
    if (this.#publishes !== this.#commands) this.#publishes.open()
    this.#live.open()
    const deadline = this.#deadline()
    // What the scripts need the right to: better found out now.
    const key = isCluster(client) ? [this.#keys.meta(RIGHTS_ROOM)] : []
    const info = String(await this.#commands.run((client) => client.eval(RIGHTS, key.length, ...key, this.#publishCommand, this.#keys.channel(RIGHTS_ROOM)), deadline))
    if (!isCluster(client) && info.includes('cluster_enabled:1')) throw new errors.InvalidOption('options.broker leads to a node of a Redis Cluster: add ?cluster=true to the URL, or give an ioredis Cluster')
    if (!/master_replid:\w/.test(info)) this.#identities.learn('', NONE)
    if (this.#replicas !== undefined) await this.#publishes.run((client) => client.wait(0, 1), deadline)
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
    if (this.#publishes !== this.#commands) this.#publishes?.close()
  }

  #newLive (commands: RedisClient): LiveLink {
    const events: LiveEvents = {
      message: (room, payload) => this.#receive(room, payload),
      mended: (rooms) => this.#events?.doubt(rooms)
    }
    if (isCluster(commands)) return new ShardedLive(commands, this.#scheduler, events)
    return new Live(connectionLike(this.#options.client), this.#scheduler, events)
  }

  get #publishCommand (): string {
    return isCluster(this.#options.client) ? 'SPUBLISH' : 'PUBLISH'
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#options.timeout
  }

  #open<T> (part: T | undefined): T {
    if (part === undefined || this.#events === undefined) throw retryAfter(new errors.BrokerAway('it is not open'))
    return part
  }

  #connect (): Connection {
    return new Connection(connectionLike(this.#options.client), this.#scheduler, () => { if (!this.#identities.detects) this.#doubt() })
  }

  /** Calls a script, and tells the room's witness what it answered. */
  async #run<T> (connection: Connection | undefined, call: Call<T>, room: string, witness: Witness | undefined, deadline: number, args: ReadonlyArray<string | number>, topOf: (reply: T) => unknown = () => {}, keys: readonly string[] = []): Promise<T> {
    const allKeys = [this.#keys.meta(room), this.#keys.stream(room), ...keys]
    const lifetime = 2 * DAY + this.#options.history.maxAge
    const over = this.#open(connection)
    return await over.run(async (client) => {
      // Fresh at every try: two tries can come to two Redises, and an epoch belongs to one.
      const epoch = randomInt(1, 2 ** 48 - 1)
      const brought = witness?.seen ?? []
      const node = nodeOf(client, this.#keys.meta(room))
      const link = { index: over === this.#commands ? 0 : 1, link: over.linkTo(node) }
      const suspicion = witness?.suspicion(link, this.#options.failover === 'trust') ?? ''
      const reply = await call(client, allKeys, [epoch, this.#identities.get(node), lifetime, brought.map(formatCursor).join(' '), suspicion, this.#publishCommand, this.#keys.channel(room), ...args])
      witness?.confirm(brought, parseCursor(topOf(reply)) as Cursor, link)
      return reply
    }, deadline)
  }

  async #position (room: string, deadline: number): Promise<Cursor> {
    const [top, identity] = await this.#run<[string, string]>(this.#commands, (...of) => scripts.positions.run(...of), room, this.#witnesses.of(room), deadline, [], ([top]) => top)
    this.#identify(identity, room)
    return parseCursor(top) as Cursor
  }

  async #readFrom (room: string, mode: 'last' | 'since', from: number, limit: number, deadline: number): Promise<{ lineage: Lineage, before: number, kept: Kept[], more: boolean }> {
    const [segments, top, before, more, ...entries] = await this.#run<Array<string | number>>(this.#commands, (...of) => scripts.read.run(...of), room, undefined, deadline, [this.#options.history.maxAge, mode, from, limit])
    const kept: Kept[] = []
    for (let i = 0; i < entries.length; i += 2) kept.push({ offset: Number(entries[i]), text: String(entries[i + 1]) })
    return { lineage: { segments: parseSegments(String(segments)), top: Number(top) }, before: Number(before), kept, more: Number(more) === 1 }
  }

  async #send (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    const { history, idempotencyTtl, timeout } = this.#options
    const keys = batch.map(({ idempotencyKey, token }) => this.#keys.idempotency(room, idempotencyKey === undefined ? `i:${token}` : `u:${idempotencyKey}`))
    // A try that was given up can still arrive; it must find what a later one did.
    const messages = batch.flatMap(({ text, idempotencyKey, token }) => [text, idempotencyKey === undefined ? 2 * timeout : idempotencyTtl, token])
    const replicas = this.#replicas
    const call: Call<string[]> = replicas === undefined
      ? (...of) => scripts.publish.run(...of)
      : (client, keys, args) => replicas.run<string[]>(client, nodeOf(client, keys[0] as string), scripts.publish, keys, args).catch((error: Error) => {
          if (error instanceof TooFewReplicas) for (const pending of batch) pending.why = error.message
          throw error
        })
    const deadline = Math.max(...batch.map(({ deadline }) => deadline))
    try {
      const [identity, , unsent, ...ids] = await this.#run<string[]>(this.#publishes, call, room, this.#witnesses.of(room), deadline, [history.size, history.maxAge, history.bytes, ...messages], ([, top]) => top, keys)
      this.#identify(identity as string, room)
      this.#noteUnsent(unsent as string)
      return ids.map((id) => ({ id: parseCursor(id.replace('d', '')) as Cursor, duplicate: id.startsWith('d') }))
    } catch (error) {
      return batch.map(({ why }) => why === undefined ? error as Error : retryAfter(new errors.BrokerAway(why)))
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

  #identify (identity: string, room: string): void {
    const client = this.#commands?.client
    if (client !== undefined && this.#identities.learn(nodeOf(client, this.#keys.meta(room)), identity)) this.#doubt()
  }

  #noteUnsent (unsent: string): void {
    if (unsent === this.#unsent) return
    this.#unsent = unsent
    if (unsent !== '') this.#options.log?.warn({}, `fan-out: Redis stores messages but does not send them to subscribers, who get them some seconds late. It says: ${unsent}. Give the user the right to publish to its channels`)
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

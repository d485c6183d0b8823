import type { Cursor } from '../../cursor.js'
import type { Published } from '../broker.js'
import type { Pending } from '../publisher.js'
import type { RedisClient } from './client.js'
import type { Connection } from './connection.js'
import type { Keys } from './keys.js'
import type { Kept, Lineage } from './lineage.js'
import type { RedisBrokerOptions } from './redis.js'
import type { Witness, Witnesses } from './witness.js'
import { randomInt } from 'node:crypto'
import { formatCursor, parseCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { isCluster } from './client.js'
import { selectDatabase } from './connection.js'
import { Identities, NONE } from './identities.js'
import { parseSegments } from './lineage.js'
import { publish } from './publish.js'
import { read } from './read.js'
import { Replicas, TooFewReplicas } from './replicas.js'
import { Script } from './script.js'
import { inOneSlot, nodeOf } from './sharded-live.js'
import { Tops } from './tops.js'

const scripts = { publish: new Script(publish), read: new Script(read) }

// What the Redis says of itself, as far as it may.
const ABOUT = `
local function info (section)
  local text = redis.pcall('INFO', section)
  return type(text) == 'string' and text or ''
end
return info('server') .. info('replication') .. info('cluster')
`
// What the scripts need the right to.
const RIGHTS = "return redis.call(ARGV[1], ARGV[2], '')"
const RIGHTS_ROOM = '\u0001fan-out:1:rights'

const DAY = 24 * 60 * 60 * 1000

type Values = ReadonlyArray<string | number>

interface Call<T> {
  connection: Connection
  room: string
  deadline: number
  send (client: RedisClient, keys: readonly string[], args: Values): Promise<T>
  keys?: readonly string[]
  args?: Values
  /** Where what this server has seen is brought, and the reply holds the top. */
  witness?: { of: Witness, topOf: (reply: T) => string }
}

/** What is read of a room at once. */
export interface Reading { lineage: Lineage, before: number, kept: Kept[], more: boolean }

/**
 * The calls of the scripts: what each brings (a fresh epoch, the identity of the Redis that was there last, what this server
 * has seen of the room), and what is learned from its answer.
 */
export class Calls {
  readonly #options: RedisBrokerOptions
  readonly #keys: Keys
  readonly #witnesses: Witnesses
  readonly #replicas: Replicas | undefined
  readonly #commands: Connection
  /** For publishes: the same, unless they wait for replicas, since that blocks a connection. */
  readonly #publishes: Connection
  /** Where one changes, or without them a link, all that was seen is held against the Redis that is there now. */
  readonly #identities: Identities
  readonly #changed: () => void
  readonly #lifetime: number
  readonly #tops: Tops
  /** Why the subscribers were not sent the last message, where they were not. */
  #unsent = ''

  /** `connect` makes a connection, which is the caller's to open and to close; `changed` is called where another Redis may have taken over. */
  constructor (options: RedisBrokerOptions, keys: Keys, witnesses: Witnesses, connect: (linked: () => void) => Connection, changed: () => void) {
    this.#options = options
    this.#keys = keys
    this.#witnesses = witnesses
    this.#changed = changed
    this.#identities = new Identities((options.failover ?? 'detect') === 'detect', options.log)
    if ((options.replicas ?? 0) > 0) this.#replicas = new Replicas(options.replicas as number)
    const linked = (): void => { if (!this.#identities.detects) changed() }
    this.#commands = connect(linked)
    this.#publishes = this.#replicas === undefined ? this.#commands : connect(linked)
    this.#lifetime = 2 * DAY + options.history.maxAge
    this.#tops = new Tops({
      connection: this.#commands,
      keys,
      witnesses,
      identities: this.#identities,
      scheduler: options.scheduler ?? systemScheduler,
      trusts: options.failover === 'trust',
      lifetime: this.#lifetime,
      publishCommand: this.#publishCommand,
      identify: (identity, room) => this.#identify(identity, room)
    })
  }

  /** The client that answers questions; on a Cluster it knows where the slots are. */
  get client (): RedisClient {
    return this.#commands.client
  }

  /** Looks whether it is a Redis that the scripts can run on, with the rights that they need: better found out at the start. */
  async check (deadline: number): Promise<void> {
    const { client } = this.#options
    if (isCluster(client) && !inOneSlot(this.#keys.meta(RIGHTS_ROOM), this.#keys.stream(RIGHTS_ROOM), this.#keys.channel(RIGHTS_ROOM))) {
      throw new errors.InvalidOption('options.brokerOptions.keyPrefix, or the client\'s own, has braces that spread a room over the slots of the Cluster: leave them out')
    }
    await selectDatabase(this.#commands, client, deadline)
    const key = isCluster(client) ? [this.#keys.meta(RIGHTS_ROOM)] : []
    const run = async (script: string, ...args: string[]): Promise<string> => String(await this.#commands.run((client) => client.eval(script, key.length, ...key, ...args), deadline))
    const info = await run(ABOUT)
    const [, version] = /redis_version:([1-6]\..*)/.exec(info) ?? []
    if (version !== undefined) throw new errors.InvalidOption(`options.broker leads to Redis ${version}, which is too old: Redis 7.0 or later is needed`)
    if (!isCluster(client) && info.includes('cluster_enabled:1')) throw new errors.InvalidOption('options.broker leads to a node of a Redis Cluster: add ?cluster=true to the URL, or give an ioredis Cluster')
    await run(RIGHTS, this.#publishCommand, this.#keys.channel(RIGHTS_ROOM))
    if (!/master_replid:\w/.test(info)) this.#identities.learn('', NONE)
    if (this.#replicas !== undefined) await this.#publishes.run((client) => client.wait(0, 1), deadline)
  }

  /** See `Tops.announced`. */
  announced (epoch: string): boolean {
    return this.#tops.announced(epoch)
  }

  /** The top of the room. */
  async position (room: string, deadline: number): Promise<Cursor> {
    return await this.#tops.of(room, deadline)
  }

  /** See `Tops.ofAll`. */
  async positions (rooms: readonly string[], deadline: number): Promise<Array<Cursor | Error>> {
    return await this.#tops.ofAll(rooms, deadline)
  }

  /** `since`: what follows the offset `from`; `last`: so many. */
  async read (room: string, mode: 'last' | 'since', from: number, limit: number, deadline: number): Promise<Reading> {
    const [segments, top, before, more, ...entries] = await this.#run<Array<string | number>>({
      connection: this.#commands,
      room,
      deadline,
      send: (...values) => scripts.read.run(...values),
      args: [this.#options.history.maxAge, mode, from, limit]
    })
    const kept: Kept[] = []
    for (let i = 0; i < entries.length; i += 2) kept.push({ offset: Number(entries[i]), text: String(entries[i + 1]) })
    return { lineage: { segments: parseSegments(String(segments)), top: Number(top) }, before: Number(before), kept, more: Number(more) === 1 }
  }

  /** Never rejects: what failed is the result of each. */
  async publish (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    const { history, idempotencyTtl, timeout } = this.#options
    try {
      const [identity, , unsent, ...ids] = await this.#run<string[]>({
        connection: this.#publishes,
        room,
        deadline: Math.max(...batch.map(({ deadline }) => deadline)),
        send: (client, keys, args) => this.#sendPublish(client, keys, args, batch),
        keys: batch.map(({ idempotencyKey, token }) => this.#keys.idempotency(room, idempotencyKey === undefined ? `i:${token}` : `u:${idempotencyKey}`)),
        // A try that was given up can still arrive; it must find what a later one did.
        args: [history.size, history.maxAge, history.bytes, ...batch.flatMap(({ text, idempotencyKey, token }) => [text, idempotencyKey === undefined ? 2 * timeout : idempotencyTtl, token])],
        witness: { of: this.#witnesses.of(room), topOf: ([, top]) => top as string }
      })
      this.#identify(identity as string, room)
      this.#noteUnsent(unsent as string)
      return ids.map((id) => ({ id: parseCursor(id.replace('d', '')) as Cursor, duplicate: id.startsWith('d') }))
    } catch (error) {
      return batch.map(({ why }) => why === undefined ? error as Error : retryAfter(new errors.BrokerAway(why)))
    }
  }

  async #sendPublish (client: RedisClient, keys: readonly string[], args: Values, batch: readonly Pending[]): Promise<string[]> {
    if (this.#replicas === undefined) return await scripts.publish.run(client, keys, args)
    try {
      return await this.#replicas.run(client, nodeOf(client, keys[0] as string), scripts.publish, keys, args)
    } catch (error) {
      if (error instanceof TooFewReplicas) for (const pending of batch) pending.why = error.message
      throw error
    }
  }

  get #publishCommand (): string {
    return isCluster(this.#options.client) ? 'SPUBLISH' : 'PUBLISH'
  }

  async #run<T> ({ connection, room, deadline, send, keys = [], args = [], witness }: Call<T>): Promise<T> {
    const allKeys = [this.#keys.meta(room), this.#keys.stream(room), ...keys]
    return await connection.run(async (client) => {
      // Fresh at every try: two tries can come to two Redises, and an epoch belongs to one.
      const epoch = randomInt(1, 2 ** 48 - 1)
      const brought = witness?.of.seen ?? []
      const node = nodeOf(client, this.#keys.meta(room))
      const link = { index: connection === this.#commands ? 0 : 1, link: connection.linkTo(node) }
      const suspicion = witness?.of.suspicion(link, this.#options.failover === 'trust') ?? ''
      const reply = await send(client, allKeys, [epoch, this.#identities.get(node), this.#lifetime, brought.map(formatCursor).join(' '), suspicion, this.#publishCommand, this.#keys.channel(room), ...args])
      witness?.of.confirm(brought, parseCursor(witness.topOf(reply)) as Cursor, link)
      return reply
    }, deadline)
  }

  #identify (identity: string, room: string): void {
    if (this.#identities.learn(nodeOf(this.client, this.#keys.meta(room)), identity)) this.#changed()
  }

  #noteUnsent (unsent: string): void {
    if (unsent === this.#unsent) return
    this.#unsent = unsent
    if (unsent !== '') this.#options.log?.warn({}, `fan-out: Redis stores messages but does not send them to subscribers, who get them some seconds late. It says: ${unsent}. Give the user the right to publish to its channels`)
  }
}

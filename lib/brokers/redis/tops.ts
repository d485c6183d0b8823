import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { RedisClient } from './client.js'
import type { Connection } from './connection.js'
import type { Identities } from './identities.js'
import type { Keys } from './keys.js'
import type { Witnesses } from './witness.js'
import { randomInt } from 'node:crypto'
import { formatCursor, parseCursor } from '../../cursor.js'
import { isCluster } from './client.js'
import { Gathering } from './gathering.js'
import { positions, strange } from './positions.js'
import { Script } from './script.js'
import { nodeOf } from './sharded-live.js'

const scripts = { positions: new Script(positions), strange: new Script(strange) }

// Rooms of one call: Redis does nothing else meanwhile.
const TOGETHER = 100
// So many announcements of our own can be on their way.
const BROUGHT = 10_000

export interface TopsOptions {
  connection: Connection
  keys: Keys
  witnesses: Witnesses
  identities: Identities
  scheduler: Scheduler
  /** Whether a new link is taken for the same Redis. */
  trusts: boolean
  /** What a room's meta lives, in ms. */
  lifetime: number
  /** PUBLISH or SPUBLISH. */
  publishCommand: string
  /** Is told what Redis says who it is, and a room that it was asked about. */
  identify (identity: string, room: string): void
}

interface Asked { room: string, deadline: number }

/** Asks where rooms stand: on a single Redis, all rooms of a turn of the event loop by one call; on a Cluster, where each is in a slot of its own, each by one. */
export class Tops {
  readonly #options: TopsOptions
  readonly #most: number
  readonly #gathering: Gathering<Asked, Cursor>
  /** The epochs last brought, and those before them. */
  #brought = new Set<number>()
  #broughtBefore = new Set<number>()

  constructor (options: TopsOptions) {
    this.#options = options
    this.#most = isCluster(options.connection.client) ? 1 : TOGETHER
    this.#gathering = new Gathering(options.scheduler, this.#most, (asked) => this.#ask(asked))
  }

  /** The top of the room. */
  async of (room: string, deadline: number): Promise<Cursor> {
    return await this.#gathering.add({ room, deadline })
  }

  /** The top of each room, or why it is not known. Little is sent for rooms that are as they were, and nothing answered: nearly all that are compared. */
  async ofAll (rooms: readonly string[], deadline: number): Promise<Array<Cursor | Error>> {
    const tops: Array<Promise<Array<Cursor | Error>>> = []
    for (let i = 0; i < rooms.length; i += this.#most) tops.push(this.#compare(rooms.slice(i, i + this.#most), deadline))
    return (await Promise.all(tops)).flat()
  }

  async #compare (rooms: readonly string[], deadline: number): Promise<Array<Cursor | Error>> {
    const { connection } = this.#options
    // What is wrong is found out again, and told, when they are asked about.
    const quiet = await connection.run((client) => this.#findQuiet(client, rooms), deadline).catch(() => [])
    const rest = rooms.filter((_, i) => quiet[i] === undefined)
    const asked = rest.length === 0 ? [] : await this.#ask(rest.map((room) => ({ room, deadline })))
    let next = 0
    return rooms.map((_, i) => quiet[i] ?? asked[next++] as Cursor | Error)
  }

  /** The top of each room that is as it was when this Redis was last asked. */
  async #findQuiet (client: RedisClient, rooms: readonly string[]): Promise<Array<Cursor | undefined>> {
    const { connection, keys, witnesses, identities, lifetime, identify } = this.#options
    const node = nodeOf(client, keys.meta(rooms[0] as string))
    const link = { index: 0, link: connection.linkTo(node) }
    const tops = rooms.map((room) => witnesses.of(room).settled(link))
    const asked = [...tops.keys()].filter((i) => tops[i] !== undefined)
    if (asked.length === 0) return tops
    const [identity, ...others] = await scripts.strange.run<[string, ...number[]]>(client, asked.map((i) => keys.meta(rooms[i] as string)), [
      '', identities.get(node), lifetime, ...asked.map((i) => formatCursor(tops[i] as Cursor))
    ])
    identify(identity, rooms[0] as string)
    for (const nth of others) tops[asked[nth - 1] as number] = undefined
    return tops
  }

  /** Whether what was announced was found out by this server, when it asked for the room's top: the answer says it all. */
  announced (epoch: string): boolean {
    return this.#brought.has(Number(epoch)) || this.#broughtBefore.has(Number(epoch))
  }

  /** Rooms that failed together are asked about one by one: whatever is wrong with one is no matter of the others. */
  async #ask (asked: readonly Asked[]): Promise<Array<Cursor | Error>> {
    const rooms = new Map(asked.map(({ room, deadline }) => [room, deadline]))
    const tops = new Map<string, Cursor | Error>()
    await this.#askTogether([...rooms.keys()], Math.max(...rooms.values()), tops).catch((error: Error) => {
      for (const room of rooms.keys()) tops.set(room, error)
    })
    if (rooms.size > 1) {
      await Promise.all([...rooms].filter(([room]) => tops.get(room) instanceof Error).map(async ([room, deadline]) => {
        await this.#askTogether([room], deadline, tops).catch((error: Error) => tops.set(room, error))
      }))
    }
    return asked.map(({ room }) => tops.get(room) as Cursor | Error)
  }

  async #askTogether (rooms: readonly string[], deadline: number, tops: Map<string, Cursor | Error>): Promise<void> {
    const { connection, identify } = this.#options
    const identity = await connection.run((client) => this.#send(client, rooms, tops), deadline)
    identify(identity, rooms[0] as string)
  }

  /** Answers the identity. */
  async #send (client: RedisClient, rooms: readonly string[], tops: Map<string, Cursor | Error>): Promise<string> {
    const { connection, keys, witnesses, identities, trusts, lifetime, publishCommand } = this.#options
    const node = nodeOf(client, keys.meta(rooms[0] as string))
    const link = { index: 0, link: connection.linkTo(node) }
    const brought = rooms.map((room) => {
      const witness = witnesses.of(room)
      return { witness, seen: witness.seen }
    })
    const [identity, ...replies] = await scripts.positions.run<string[]>(client, rooms.flatMap((room) => [keys.meta(room), keys.stream(room)]), [
      publishCommand, identities.get(node), lifetime,
      ...rooms.flatMap((room, i) => {
        const { witness, seen } = brought[i]!
        return [this.#freshEpoch(), seen.map(formatCursor).join(' '), witness.suspicion(link, trusts), keys.channel(room)]
      })
    ])
    for (const [i, reply] of replies.entries()) {
      const top = parseCursor(reply)
      if (top !== undefined) brought[i]!.witness.confirm(brought[i]!.seen, top, link)
      else if (rooms.length === 1) throw Object.assign(new Error(reply), { name: 'ReplyError' })
      tops.set(rooms[i] as string, top ?? new Error(reply))
    }
    return identity as string
  }

  /** Fresh at every try: two tries can come to two Redises, and an epoch belongs to one. */
  #freshEpoch (): number {
    const epoch = randomInt(1, 2 ** 48 - 1)
    // Half is forgotten at once: to find the oldest of a set from whose front much was deleted takes longer the larger it is.
    if (this.#brought.size === BROUGHT) {
      this.#broughtBefore = this.#brought
      this.#brought = new Set()
    }
    this.#brought.add(epoch)
    return epoch
  }
}

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
import { positions } from './positions.js'
import { Script } from './script.js'
import { nodeOf } from './sharded-live.js'

const script = new Script(positions)

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

  /** The top of each room, or why it is not known. */
  async ofAll (rooms: readonly string[], deadline: number): Promise<Array<Cursor | Error>> {
    const asked = rooms.map((room) => ({ room, deadline }))
    const tops: Array<Promise<Array<Cursor | Error>>> = []
    for (let i = 0; i < asked.length; i += this.#most) tops.push(this.#ask(asked.slice(i, i + this.#most)))
    return (await Promise.all(tops)).flat()
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
    const [identity, ...replies] = await script.run<string[]>(client, rooms.flatMap((room) => [keys.meta(room), keys.stream(room)]), [
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

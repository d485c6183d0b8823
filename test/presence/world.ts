import type { Member } from '../../types/index.js'
import { Presence } from '../../lib/presence/presence.js'
import { Rooms } from '../../lib/rooms/rooms.js'
import { Adaptor, Cluster } from '../simulation/broker.js'
import { Clock, Random } from '../simulation/clock.js'

const log = { error () {}, warn () {}, info () {} }

/** A server that keeps presence, on the broker of the simulation. */
export class PresenceServer {
  readonly name: string
  readonly adaptor: Adaptor
  readonly rooms: Rooms
  readonly presence: Presence
  /** Who is a member here, and how they leave. */
  readonly members = new Map<string, { room: string, member: Member, leave: () => void }>()
  readonly watches: Watch[] = []

  constructor (name: string, world: PresenceWorld) {
    this.name = name
    this.adaptor = new Adaptor(world.cluster)
    const tail = { bytes: 2 ** 20, messages: 1_000, maxAge: 300_000 }
    this.rooms = new Rooms({ broker: this.adaptor, log, scheduler: world.clock, linger: 5_000, timeout: 5_000, limits: { tail, page: 1_000, replay: undefined, inbox: 1_000, slice: 1_000 } })
    this.presence = new Presence(this.rooms, name)
  }

  async start (): Promise<void> {
    await this.rooms.start()
    await this.presence.start()
  }
}

/** What a client that watches a room was told, and who was there when that began. */
export class Watch {
  readonly room: string
  readonly told: Array<{ type: 'join' | 'leave', member: Member }> = []
  /** Events that say nothing new. */
  readonly repeated: string[] = []
  before: Member[] = []
  end: (() => void) | undefined
  readonly #last = new Map<string, string>()

  constructor (room: string) {
    this.room = room
  }

  tell (type: 'join' | 'leave', member: Member): void {
    this.told.push({ type, member })
    const event = type === 'join' ? JSON.stringify(member) : 'leave'
    if (this.#last.get(member.connection) === event) this.repeated.push(`${type} ${JSON.stringify(member)}`)
    this.#last.set(member.connection, event)
  }

  /** Who is in the room, as far as it was told. */
  known (): Member[] {
    const known = new Map(this.before.map((member) => [member.connection, member]))
    for (const { type, member } of this.told) type === 'join' ? known.set(member.connection, member) : known.delete(member.connection)
    return sorted(known.values())
  }
}

/** Servers with presence that share a broker, in virtual time. */
export class PresenceWorld {
  readonly random: Random
  readonly clock: Clock
  readonly cluster: Cluster
  readonly servers: PresenceServer[] = []
  #count = 0

  constructor (seed: number) {
    this.random = new Random(seed)
    this.clock = new Clock(new Random(seed + 1))
    this.cluster = new Cluster(this.clock, this.random, 1_000)
  }

  async start (count = 1): Promise<PresenceServer[]> {
    const servers = Array.from({ length: count }, () => new PresenceServer(`s${++this.#count}`, this))
    this.servers.push(...servers)
    await this.take(Promise.all(servers.map((server) => server.start())), 10_000)
    return servers
  }

  /** As SIGKILL: it says nothing more. */
  kill (server: PresenceServer): void {
    this.servers.splice(this.servers.indexOf(server), 1)
    void server.adaptor.close()
    void server.rooms.close()
  }

  async close (server: PresenceServer): Promise<void> {
    this.servers.splice(this.servers.indexOf(server), 1)
    await this.take(server.presence.close(), 20_000)
    await server.rooms.close()
  }

  join (server: PresenceServer, room: string, connection = `${server.name}-${++this.#count}`, info?: unknown): string {
    const member = { connection, ...(info !== undefined && { info }) }
    server.members.set(connection, { room, member, leave: server.presence.join(room, member) })
    return connection
  }

  leave (server: PresenceServer, connection: string): void {
    server.members.get(connection)?.leave()
    server.members.delete(connection)
  }

  async watch (server: PresenceServer, room: string): Promise<Watch> {
    const watch = new Watch(room)
    let begun = false
    watch.end = await server.presence.watch(room, (type, member) => { if (begun) watch.tell(type, member) })
    begun = true
    watch.before = this.truth(room)
    server.watches.push(watch)
    return watch
  }

  /** The connections that are in the room, on all servers. */
  truth (room: string): Member[] {
    return sorted(this.servers.flatMap(({ members }) => [...members.values()].filter((held) => held.room === room).map(({ member }) => member)))
  }

  /** Lets time pass until it has settled, `most` ms at the most. */
  async take<T> (promise: Promise<T>, most: number): Promise<T> {
    const state = { settled: false }
    const mark = (): void => { state.settled = true }
    promise.then(mark, mark)
    for (let passed = 0; !state.settled && passed < most; passed += 5) await this.clock.advance(5)
    await this.clock.settle()
    if (!state.settled) throw new Error(`it took more than ${most} ms`)
    return await promise
  }
}

export function sorted (members: Iterable<Member>): Member[] {
  return [...members].sort((a, b) => a.connection < b.connection ? -1 : 1)
}

import type { Member } from '../../types/index.js'
import type { Rooms } from '../rooms/rooms.js'
import type { Peer } from './directory.js'
import type { Change, Part, Told } from './messages.js'
import type { Watcher } from './watched-room.js'
import { Asks } from './asks.js'
import { Directory } from './directory.js'
import { sameMember, WatchedRoom } from './watched-room.js'

// How long changes are gathered before they are told to other servers, in ms.
const GATHER = 50
// Members, changes or rooms in one message.
const PIECE = 500

/**
 * Who is in each room, on all servers: one member for each subscription of a connection. A server keeps its own; the
 * list of a room is asked for (`asks.ts`), and changes are told to the servers that watch the room: nothing is said of a
 * room that nobody watches or asks about.
 *
 * Joins and leaves of our own go to the watchers here directly, and not by way of the broker as messages do: they have
 * no order to keep, should not wait for a broker that is away, and cost nothing where nobody elsewhere watches.
 */
export class Presence {
  readonly #rooms: Rooms
  readonly #directory: Directory
  readonly #asks: Asks
  readonly #members = new Map<string, Map<string, Member>>()
  readonly #watched = new Map<string, WatchedRoom>()
  /** Who watches a room, elsewhere. */
  readonly #peers = new Map<string, Set<Peer>>()
  /** What is still to be told. */
  readonly #changes = new Map<Peer, Change[]>()
  #cancelFlush: (() => void) | undefined

  /** `server` names this start of this server. */
  constructor (rooms: Rooms, server: string) {
    this.#rooms = rooms
    this.#directory = new Directory(rooms, server, {
      met: (peer) => this.#greet(peer, true),
      told: (peer, message) => this.#obey(peer, message),
      asked: (peer, room, ask) => peer === undefined ? this.#asks.came(ask) : this.#answer(peer, [room], ask),
      lost: (peer) => this.#lose(peer)
    })
    this.#asks = new Asks(rooms, this.#directory)
  }

  /** Speaks to the other servers from now on. Rejects where the broker is away; to be called again then. */
  start (): Promise<void> {
    return this.#directory.start()
  }

  /** Says that this server goes, and with it whoever is still a member. */
  async close (): Promise<void> {
    this.#cancelFlush?.()
    await this.#directory.close()
  }

  /** Adds a member, or puts another in its place. Answers a function that takes it out. */
  join (room: string, member: Member): () => void {
    const members = entryOf(this.#members, room, () => new Map<string, Member>())
    const before = members.get(member.connection)
    members.set(member.connection, member)
    if (!sameMember(before, member)) this.#changed({ type: 'join', room, member })
    return () => {
      if (members.get(member.connection) !== member) return
      members.delete(member.connection)
      if (members.size === 0) this.#members.delete(room)
      this.#changed({ type: 'leave', room, member })
    }
  }

  /** Who is in the room, on all servers. Rejects with FAN_OUT_ERR_BROKER_AWAY where they cannot be asked. */
  async members (room: string): Promise<Member[]> {
    const others = await this.#rooms.inTime(this.#asks.members(room))
    return [...this.#local(room), ...others]
  }

  /** Tells of every join and leave that comes after its resolving, on any server. Answers a function that ends it. */
  async watch (room: string, watcher: Watcher): Promise<() => void> {
    const { peers } = this.#directory
    let watched = this.#watched.get(room)
    if (watched === undefined) {
      this.#watched.set(room, watched = new WatchedRoom(peers.keys(), this.#rooms.scheduler))
      for (const peer of peers.values()) this.#directory.tell(peer, { do: 'watch', rooms: [room] })
    }
    const { watchers, ready } = watched
    watchers.add(watcher)
    await ready
    return () => {
      if (!watchers.delete(watcher) || watchers.size > 0) return
      this.#watched.delete(room)
      for (const peer of peers.values()) this.#directory.tell(peer, { do: 'unwatch', rooms: [room] })
    }
  }

  #local (room: string): Member[] {
    return [...this.#members.get(room)?.values() ?? []]
  }

  #changed (change: Change): void {
    this.#watched.get(change.room)?.tell(change.type, change.member)
    for (const peer of this.#peers.get(change.room) ?? []) entryOf(this.#changes, peer, () => []).push(change)
    if (this.#changes.size > 0) this.#cancelFlush ??= this.#rooms.scheduler.after(GATHER, () => this.#flush())
  }

  #flush (): void {
    this.#cancelFlush = undefined
    for (const [peer, changes] of this.#changes) {
      // Who is behind will be told all there is.
      for (let i = 0; i < changes.length && !peer.behind; i += PIECE) this.#directory.tell(peer, { do: 'changes', changes: changes.slice(i, i + PIECE) })
    }
    this.#changes.clear()
  }

  /** Begins anew with a server: whatever one had missed of the other is told again. */
  #greet (peer: Peer, answer: boolean): void {
    peer.behind = false
    this.#directory.tell(peer, { do: 'greet', answer })
    const rooms = [...this.#watched.keys()]
    for (let i = 0; i < rooms.length; i += PIECE) this.#directory.tell(peer, { do: 'watch', rooms: rooms.slice(i, i + PIECE) })
  }

  #obey (peer: Peer, message: Told): void {
    if (message.do === 'greet') {
      this.#unwatch(peer, peer.watches)
      if (message.answer) this.#greet(peer, false)
    } else if (message.do === 'watch') {
      for (const room of message.rooms) {
        peer.watches.add(room)
        entryOf(this.#peers, room, () => new Set<Peer>()).add(peer)
      }
      this.#answer(peer, message.rooms)
    } else if (message.do === 'unwatch') {
      this.#unwatch(peer, message.rooms)
    } else if (message.do === 'members') {
      if (message.ask !== undefined) this.#asks.answered(peer.server, message.ask, message.parts)
      else for (const part of message.parts) this.#watched.get(part.room)?.take(peer.server, part)
    } else if (message.do === 'changes') {
      for (const change of message.changes) this.#watched.get(change.room)?.change(peer.server, change)
    }
  }

  #answer (peer: Peer, rooms: string[], ask?: number): void {
    for (const parts of this.#pieces(rooms)) this.#directory.tell(peer, { do: 'members', ...(ask !== undefined && { ask }), parts })
  }

  * #pieces (rooms: string[]): Generator<Part[]> {
    let parts: Part[] = []
    let size = 0
    for (const room of rooms) {
      const members = this.#local(room)
      let at = 0
      do {
        const end = Math.min(members.length, at + PIECE - size)
        parts.push({ room, members: members.slice(at, end), first: at === 0, last: end === members.length })
        size += end - at + 1
        at = end
        if (size < PIECE) continue
        yield parts
        parts = []
        size = 0
      } while (at < members.length)
    }
    if (parts.length > 0) yield parts
  }

  #unwatch (peer: Peer, rooms: Iterable<string>): void {
    for (const room of rooms) {
      peer.watches.delete(room)
      const peers = this.#peers.get(room)
      peers?.delete(peer)
      if (peers?.size === 0) this.#peers.delete(room)
    }
  }

  #lose (peer: Peer): void {
    this.#unwatch(peer, peer.watches)
    this.#changes.delete(peer)
    this.#asks.lost(peer.server)
    for (const watched of this.#watched.values()) watched.forget(peer.server)
  }
}

function entryOf<Key, Value> (map: Map<Key, Value>, key: Key, create: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = create())
  return value
}

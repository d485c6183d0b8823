import type { Member } from '../types/index.js'

type Watcher = (type: 'join' | 'leave', member: Member) => void

/** Who is in each room: one member for each subscription of a connection. */
export class Presence {
  readonly #members = new Map<string, Map<string, Member>>()
  readonly #watchers = new Map<string, Set<Watcher>>()

  /** Adds a member, or puts another in its place. Answers a function that takes it out. */
  join (room: string, member: Member): () => void {
    const members = entryOf(this.#members, room, () => new Map<string, Member>())
    const before = members.get(member.connection)
    members.set(member.connection, member)
    if (JSON.stringify(before) !== JSON.stringify(member)) this.#tell(room, 'join', member)
    return () => {
      if (members.get(member.connection) !== member) return
      members.delete(member.connection)
      if (members.size === 0) this.#members.delete(room)
      this.#tell(room, 'leave', member)
    }
  }

  members (room: string): Member[] {
    return [...this.#members.get(room)?.values() ?? []]
  }

  /** Tells of joins and leaves from now on. Answers a function that ends it. */
  watch (room: string, watcher: Watcher): () => void {
    const watchers = entryOf(this.#watchers, room, () => new Set<Watcher>())
    watchers.add(watcher)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0) this.#watchers.delete(room)
    }
  }

  #tell (room: string, type: 'join' | 'leave', member: Member): void {
    for (const watcher of this.#watchers.get(room) ?? []) watcher(type, member)
  }
}

function entryOf<Value> (map: Map<string, Value>, key: string, create: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = create())
  return value
}

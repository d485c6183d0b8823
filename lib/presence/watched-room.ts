import type { Member } from '../../types/index.js'
import type { Scheduler } from '../scheduler.js'
import type { Change, Part } from './messages.js'
import { PATIENCE } from './messages.js'

export type Watcher = (type: 'join' | 'leave', member: Member) => void

/** A room that clients here watch: who of them is told, and which members other servers have, so that they can leave with their server. */
export class WatchedRoom {
  readonly watchers = new Set<Watcher>()
  /** Resolves when every server has said who was there before, or had time to. */
  readonly ready: Promise<void>
  readonly #remote = new Map<string, Map<string, Member>>()
  /** Members of which the last piece has not come. */
  readonly #arriving = new Map<string, Map<string, Member>>()
  /** Whose first answer is awaited: it tells who was there before, and no joins. */
  readonly #awaited: Set<string>
  #settle!: () => void

  constructor (servers: Iterable<string>, scheduler: Scheduler) {
    this.#awaited = new Set(servers)
    this.ready = new Promise((resolve) => {
      const cancel = scheduler.after(PATIENCE, () => {
        this.#awaited.clear()
        resolve()
      })
      this.#settle = () => {
        if (this.#awaited.size > 0) return
        cancel()
        resolve()
      }
    })
    this.#settle()
  }

  tell (type: 'join' | 'leave', member: Member): void {
    for (const watcher of this.watchers) watcher(type, member)
  }

  /** All members that a server has, piece by piece; who is told learns the difference. */
  take (server: string, { members, first, last }: Part): void {
    const arriving = first ? new Map<string, Member>() : this.#arriving.get(server)
    if (arriving === undefined) return
    for (const member of members) arriving.set(member.connection, member)
    if (!last) {
      this.#arriving.set(server, arriving)
      return
    }
    this.#arriving.delete(server)
    const before = this.#remote.get(server) ?? new Map<string, Member>()
    this.#remote.set(server, arriving)
    if (this.#awaited.delete(server)) return this.#settle()
    for (const member of before.values()) if (!arriving.has(member.connection)) this.tell('leave', member)
    for (const member of arriving.values()) if (!sameMember(before.get(member.connection), member)) this.tell('join', member)
  }

  change (server: string, { type, member }: Change): void {
    const members = this.#remote.get(server)
    const known = members?.get(member.connection)
    if (members === undefined || (type === 'join' ? sameMember(known, member) : known === undefined)) return
    if (type === 'join') members.set(member.connection, member)
    else members.delete(member.connection)
    this.tell(type, member)
  }

  /** A server is gone, and its members with it. */
  forget (server: string): void {
    for (const member of this.#remote.get(server)?.values() ?? []) this.tell('leave', member)
    this.#remote.delete(server)
    this.#arriving.delete(server)
    this.#awaited.delete(server)
    this.#settle()
  }
}

export function sameMember (a: Member | undefined, b: Member): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

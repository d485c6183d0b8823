import type { Member } from '../../types/index.js'
import { INTERNAL } from '../rooms/rooms.js'

// The version is that of the messages. What a server does not know of another's, it ignores.
const PREFIX = `${INTERNAL}fan-out:1:`

/** How long the answers of other servers are waited for, in ms: one that died is held to be alive for a while. */
export const PATIENCE = 1_000

/** Where all servers that keep presence speak to all. */
export const SERVERS = `${PREFIX}servers`

/** Where they speak to one. A name is used for one start only, so nothing that was meant for an earlier server comes for a later one. */
export function roomOf (server: string): string {
  return `${PREFIX}server:${server}`
}

export interface Change { type: 'join' | 'leave', room: string, member: Member }

/** Members of one room on one server, or a piece of them. */
export interface Part { room: string, members: Member[], first: boolean, last: boolean }

/** Said to all. */
export type Announcement =
  | { do: 'alive' }
  /** As `alive`; and: I may not know you, or may have missed something, so greet me. */
  | { do: 'hello' }
  | { do: 'gone' }
  /** A question that the list of a room is put together from. */
  | { do: 'who', room: string, ask: number }

/** Said to one. What a server watches, and what it is told of that, comes in the order in which it was said. */
export type Told =
  /** What I watched until now is forgotten: what I watch follows. `answer`: say the same to me. */
  | { do: 'greet', answer: boolean }
  /** Tell me who is in these rooms, and from then on every change. */
  | { do: 'watch', rooms: string[] }
  | { do: 'unwatch', rooms: string[] }
  /** An answer to `watch`, or to `who` where `ask` says to which. */
  | { do: 'members', ask?: number, parts: Part[] }
  | { do: 'changes', changes: Change[] }

/** Who says it; `n` grows with everything that this server says. */
export type Signed<Said> = Said & { from: string, n: number }

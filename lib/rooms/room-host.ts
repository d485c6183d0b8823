import type { Broker } from '../brokers/broker.js'
import type { Scheduler } from '../scheduler.js'
import type { CatchUp } from './catch-up.js'
import type { Room } from './room.js'
import type { TailLimits } from './run.js'

/** What is used of a Fastify logger. */
export interface Log {
  error (details: object, text: string): void
  warn (details: object, text: string): void
  info (details: object, text: string): void
}

export interface Counts { received: number, delivered: number, gaps: number, repairs: number }

/** What a room asks of the server it is on. */
export interface RoomHost {
  readonly broker: Broker
  readonly scheduler: Scheduler
  readonly log: Log
  readonly limits: {
    /** Of a room's tail. */
    tail: TailLimits
    /** Messages that one read of the window asks for. */
    page: number
    /** The most messages that are replayed to one subscriber, where there is such a limit. */
    replay: number | undefined
    /** Messages that wait while a room is repaired; what does not fit is read again. */
    inbox: number
    /** Writes to live subscribers at the end of one turn; the rest come at the end of the next. */
    slice: number
  }
  readonly catchUp: CatchUp
  /** What happens in a room is counted here. */
  countsOf (room: string): Counts
  /** The JSON of the room's snapshot, undefined where it has none. */
  readonly snapshot: ((room: string) => Promise<string | undefined>) | undefined
  /** The room has something to flush at the end of this turn. */
  dirty (room: Room): void
  /** The room has one subscriber less, or one fewer that was about to be. */
  left (room: Room): void
  /** Resolves when what failed for want of the broker is worth trying again. */
  retry (): Promise<void>
  /** `work`, or a rejection with FAN_OUT_ERR_BROKER_AWAY where it takes longer than the publish timeout. */
  inTime<T> (work: Promise<T>): Promise<T>
}

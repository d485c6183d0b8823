import type { Cursor } from '../cursor.js'
import type { GapReason } from '../message.js'

/**
 * What stands between the servers: it gives the messages of a room one order, carries them to every server that
 * subscribed to the room, and keeps a short window of them to read again. The guarantees below are all that a room
 * builds on; `test/brokers/contract.ts`, which is exported as `fastify-fan-out/contract`, holds every broker to them.
 *
 * Room names that begin with U+0001 are the servers' own; a broker treats them like any other.
 */
export interface Broker {
  /**
   * It keeps no messages, and has no order among the messages of different servers. What is said below then holds with
   * these differences, and positions mean something only on the server that they were received on:
   * - What one server publishes to a room comes in its order, nothing twice; the ids of different servers cannot be compared.
   * - `previous` is the position before it on this server. `subscribe` and `positions` answer where the room stands here.
   * - Where messages were, or may have been lost, a hole comes in their place, as an event, before the next message.
   * - `read` answers any `since` with one hole, to where the room stands here, and otherwise nothing.
   */
  readonly windowless?: boolean

  /**
   * Connects. Called before anything else, and again after a rejection: where the broker cannot be reached, it rejects.
   * `events` is never called synchronously from within a method of the broker.
   */
  start (events: BrokerEvents): Promise<void>

  /**
   * Resolves with the top of the room once its messages are sure to come: from this position on each is handed to
   * `events.message`, in order, or `events.doubt` is raised. Calls for one room are obeyed in the order they were made.
   */
  subscribe (room: string): Promise<Cursor>

  /** From its resolving on the broker sends nothing of the room to this server. */
  unsubscribe (room: string): Promise<void>

  /**
   * Publishes, one result for each message in the order given; entries of one room keep their order, and one that is
   * refused does not sink the others. A message with a result is in the window, and its position is above every earlier
   * one of its room. A message whose key was accepted in the same room within the idempotency time is not published
   * again: its result is the first one's, with `duplicate`. Never rejects as a whole; fails within the publish timeout.
   */
  publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>>

  /** Reads the room's window, see `ReadRequest`. A read sees every message that was delivered or acknowledged before it was asked. */
  read (room: string, request: ReadRequest): Promise<Window>

  /**
   * The top of each room, in the order given. `seen` is the highest position of it that this server has received or
   * had acknowledged: a broker whose history can fork learns from it that something was lost.
   */
  positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]>

  /** Lets go of every connection and timer. What is in flight is settled, one way or the other. */
  close (): Promise<void>
}

export interface BrokerEvents {
  /**
   * A message of a subscribed room. `message.previous` is the position before it in this room: it is how a room knows
   * that nothing is missing. Where a loss lies between the two, `previous` is the start of the new epoch, which no
   * subscriber can be standing at. A hole comes only from a broker without a window, which could not tell it later.
   */
  message (room: string, message: StoredMessage | LiveHole): void

  /** Messages of these rooms (all, where none are named) may have been lost: raised when the live link is whole again, never before. */
  doubt (rooms?: readonly string[]): void
}

/** What a broker uses of a Fastify logger. */
export interface BrokerLog {
  warn (details: object, text: string): void
}

export interface Outgoing {
  room: string
  /** JSON on one line. */
  text: string
  /** Already made unique to its publisher. */
  idempotencyKey?: string | undefined
}

export interface Published {
  id: Cursor
  duplicate: boolean
}

export interface StoredMessage {
  type: 'message'
  id: Cursor
  previous: Cursor
  text: string
}

/** Where messages are missing from a window: the reader stands at `id` from here on. */
export interface Hole {
  type: 'gap'
  id: Cursor
  reason: GapReason
  /** For `forked`: the last position common to the reader's history and this one. */
  from?: Cursor
}

/** A hole in the live stream, after `previous`. */
export interface LiveHole extends Hole {
  previous: Cursor
}

export interface ReadRequest {
  /** The position to continue from, exclusive. Without it (and without `last`) reading starts at the oldest message retained, and never with a hole. */
  since?: Cursor
  /** The newest so many messages, oldest first; excludes `since`. */
  last?: number
  /** At most so many messages. */
  limit: number
}

export interface Window {
  /** In order. A hole stands where messages are missing, before those that follow it. */
  entries: Array<StoredMessage | Hole>
  /** Where a reader stands before the first entry that is a message: `since`, or the hole's `id`, or the position before the oldest. */
  start: Cursor
  /** The top of the room when it was read. */
  position: Cursor
  /** Whether the limit cut the entries short. */
  more: boolean
}

import type { Cursor } from '../cursor.js'

/** What carries payloads to every server that listens to a room, and keeps none of them. */
export interface Link {
  /** Connects; rejects after `deadline`, and can then be called again. */
  open (deadline: number): Promise<void>
  close (): void
  /** Resolves when it can be published on, and what it carries comes; rejects after `deadline`. */
  reach (deadline: number): Promise<void>
  /** Resolves once all that is sent to the room comes, or `mended` is raised. Calls for one room are obeyed in their order. */
  subscribe (room: string, deadline: number): Promise<void>
  unsubscribe (room: string): Promise<void>
  /**
   * Sends messages, in order; more than once where that is needed, and then `number` is called again. Answers for each
   * the id of an earlier one that had its key, or an error (`unused` was then sent in its place), or undefined.
   */
  send (room: string, number: () => Numbered[], deadline: number): Promise<Array<Cursor | Error | undefined>>
  /** Sends counts, after whatever was sent before. */
  say (counts: ReadonlyArray<{ room: string, payload: string }>, deadline: number): Promise<void>
}

export interface LinkEvents {
  /** Payloads of one server and room come in the order in which they were sent. */
  message (room: string, payload: string): void
  /** It is broken: what is sent from now on may be lost, until the room's next payload comes or the link is mended. */
  broken (): void
  /** It is whole again, for all rooms; payloads may have come before. */
  mended (): void
}

export interface Numbered {
  id: string
  /** Has no line breaks. */
  payload: string
  /** What is sent where the message is not: it says that there is none of this number. */
  unused: string
  key: string | undefined
}

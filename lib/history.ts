import type { Hole, ReadRequest, StoredMessage } from './brokers/broker.js'
import type { Cursor } from './cursor.js'
import type { Rooms } from './rooms/rooms.js'
import { formatCursor } from './cursor.js'

export interface HistoryPage {
  room: string
  id: string
  complete: boolean
  more: boolean
  /** `text` is the message's JSON. */
  messages: Array<{ id: string, text: string }>
}

/** A page of a room's window, read from the broker. */
export async function readHistory (rooms: Rooms, room: string, query: { since: Cursor | undefined, limit: number, order: 'asc' | 'desc' }): Promise<HistoryPage> {
  const { since, limit, order } = query
  const newestFirst = order === 'desc'
  // Newest first after a cursor is all that follows it, cut at the other end.
  const request: ReadRequest = newestFirst
    ? since === undefined ? { last: limit, limit } : { since, limit: Number.MAX_SAFE_INTEGER }
    : { ...(since && { since }), limit }
  const window = await rooms.read(room, request)
  const all = window.entries.filter((entry): entry is StoredMessage => entry.type === 'message')
  const messages = newestFirst ? all.slice(-limit).reverse() : all
  return {
    room,
    id: formatCursor(newestFirst || !window.more ? window.position : window.entries.at(-1)?.id ?? window.start),
    complete: !window.entries.some((entry): entry is Hole => entry.type === 'gap'),
    more: !newestFirst && window.more,
    messages: messages.map(({ id, text }) => ({ id: formatCursor(id), text }))
  }
}

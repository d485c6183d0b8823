import type { History, HistoryOptions, RoomMessage } from './types.js'

// In ms: how long a page is waited for.
const PAGE = 10_000

interface Place { readonly name: string, readonly id: string | undefined, history (options: HistoryOptions): Promise<History> }

/**
 * Where a server does not replay all that was missed: reads it over HTTP, page by page, from where the room stands up to the message at `end`.
 * Throws where it cannot be read, or is no more.
 *
 * A module of its own, without imports: it is loaded only where it is needed.
 */
export async function * missed (room: Place, end: string): AsyncGenerator<RoomMessage, void, undefined> {
  const last = offsetOf(end)
  for (;;) {
    const { complete, more, messages } = await page(room)
    if (!complete || (more && !messages[0])) throw new Error('it is lost')
    for (const message of messages) {
      const offset = offsetOf(message.id)
      if (offset <= last) yield { ...message, type: 'message', room: room.name }
      if (offset >= last) return
    }
    if (!more) return
  }
}

async function page (room: Place): Promise<History> {
  const waiting = new AbortController()
  const timer = setTimeout(() => waiting.abort(), PAGE)
  try {
    return await room.history({ since: room.id!, limit: 1_000, signal: waiting.signal })
  } finally {
    clearTimeout(timer)
  }
}

const offsetOf = (id: string): number => Number(id.split('-')[1])

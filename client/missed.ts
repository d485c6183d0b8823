import type { Frame, History, LinkOptions } from './types.js'

interface Asked { room: string, since?: string, replay?: number, ref: Frame['ref'] }

/**
 * Answers a subscribe as the server would, by reading the history: `subscribed`, and what is retained from where it asks to begin up to
 * `end`, or a little further where `end` is no message's. Where messages are missing, a gap stands before what follows them.
 */
export async function readMissed ({ request, token }: LinkOptions, asked: Frame, end: string, signal: AbortSignal): Promise<Frame[]> {
  const { room, since, replay, ref } = asked as Frame & Asked
  const cursor = since === 'earliest' ? undefined : since
  const frames: Frame[] = []
  let replayed = 0
  let recovered = true
  let start: string | undefined
  for (let next = cursor, more = true; more;) {
    const query = since ? `limit=1000${next ? `&since=${next}` : ''}` : `order=desc&limit=${Math.min(replay!, 1_000)}`
    const response = await request(room, `/history?${query}`, token, { signal })
    if (!response.ok) throw await refusal(response)
    const page = await response.json() as History
    const messages = since ? page.messages : page.messages.reverse()
    const last = messages.findIndex(({ id }) => id === end)
    if (last >= 0) messages.length = last + 1
    const begin = messages[0] ? before(messages[0].id) : end
    start ??= cursor && page.complete ? cursor : begin
    // Where it lies among these messages is not known: all of them come after it.
    if (next && !page.complete) {
      recovered = false
      frames.push({ type: 'gap', room, id: begin, reason: epoch(begin) === epoch(next) ? 'expired' : 'epoch' })
    }
    for (const message of messages) frames.push({ ...message, type: 'message', room })
    replayed += messages.length
    next = page.id
    more = page.more && last < 0
  }
  return [{ type: 'subscribed', room, id: start, ...(cursor && { recovered }), replayed, ref }, ...frames]
}

async function refusal (response: Response): Promise<Error> {
  const { status, headers } = response
  const { code, message } = await response.json().catch(() => ({})) as { code?: string, message?: string }
  return Object.assign(new Error(message ?? `status ${status}`), { code, status, retryAfter: 1000 * Number(headers.get('retry-after')) })
}

const epoch = (id: string): string => id.split('-')[0]!

/** A position just before a message. */
function before (id: string): string {
  const [epoch, offset] = id.split('-')
  return `${epoch}-${Number(offset) - 1}`
}

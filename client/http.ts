import type { Fetch, Token } from './types.js'
import { FanOutError } from './error.js'

/** Asks the server about a room. Rejects where it refuses: a FanOutError, whose `retryAfter` is in ms where it said when. */
export async function request (fetch: Fetch, url: string, room: string, path: string, token: Token, init: RequestInit = {}): Promise<Response> {
  const headers = { ...init.headers as Record<string, string>, ...(token && { authorization: `Bearer ${token}` }) }
  const response = await fetch(`${url}/${encodeURIComponent(room)}${path}`, { ...init, headers })
  const { ok, status } = response
  if (ok) return response
  const { code, message } = await response.json().catch(() => ({})) as { code?: string, message?: string }
  const retryAfter = 1000 * Number(response.headers.get('retry-after'))
  throw Object.assign(new FanOutError(code ?? 'FAN_OUT_ERR_CONNECTION', message ?? `status ${status}`, status), { retryAfter })
}

import { jwtVerify } from 'jose'
import type { FastifyRequest } from 'fastify'

/** Who the token says is there, as the plugin's `authenticate` answers it. */
export interface Subscriber {
  user?: string
  /** In milliseconds, as everywhere; absent where the token never expires. */
  expiresAt?: number
}

interface Asked {
  action: 'subscribe' | 'publish' | 'presence' | 'control'
  room?: string
  key?: string
  request: FastifyRequest
}

export interface Tokens {
  authenticate (request: FastifyRequest, token?: string): Promise<Subscriber | null>
  authorize (asked: Asked): boolean
}

/**
 * Subscribers prove themselves by a JWT, signed with `secret` by HS256 and nothing else: `none` and
 * the public-key algorithms are refused, whatever the token's header says. Its claims:
 *
 * - `sub`: the user, as presence shows it and `disconnect({ user })` finds it. May be absent.
 * - `exp`: when the connection ends unless it sends a fresh token. Without it the token is good for
 *   as long as the secret is.
 * - `rooms`: an array of patterns, the rooms that may be subscribed and whose history may be read.
 *   `*` stands for any run of characters, also none, also of `:`; all else stands for itself.
 *   **Absent it allows every room**: a service that only wants to know who is there need not list
 *   rooms. An empty array allows none.
 *
 * Publishing and presence ask for the publish key: no token allows them.
 */
export function createTokens (secret: string): Tokens {
  const key = new TextEncoder().encode(secret)
  // The patterns are no part of the answer of `authenticate`, since `info` is shown in presence. A
  // fresh token on a living connection comes with the same request and replaces the older patterns.
  const allowed = new WeakMap<object, readonly string[]>()

  return {
    async authenticate (request, token) {
      if (token === undefined) return null
      const { payload } = await jwtVerify(token, key, { algorithms: ['HS256'] })
      const { sub, exp } = payload
      allowed.set(request.raw, readPatterns(payload.rooms))
      return {
        ...(sub === undefined ? {} : { user: sub }),
        ...(exp === undefined ? {} : { expiresAt: exp * 1000 })
      }
    },

    authorize ({ action, room, key, request }) {
      if (action !== 'subscribe') return key !== undefined
      const patterns = allowed.get(request.raw)
      return room !== undefined && patterns !== undefined && patterns.some((pattern) => matches(pattern, room))
    }
  }
}

function readPatterns (claim: unknown): string[] {
  if (claim === undefined) return ['*']
  if (Array.isArray(claim) && claim.every((pattern) => typeof pattern === 'string')) return claim
  // Neither "every room" nor "no room" is a safe reading of what was meant.
  throw new TypeError('the claim "rooms" must be an array of strings')
}

/** Whether `room` fits `pattern`. No regular expression: a hostile pattern must not cost more than its length. */
export function matches (pattern: string, room: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return room === pattern
  if (room.length < first.length + last.length || !room.startsWith(first) || !room.endsWith(last)) return false

  // Between the fixed ends each piece is taken where it first fits: earlier is never worse.
  const end = room.length - last.length
  let at = first.length
  for (const piece of rest) {
    const found = room.indexOf(piece, at)
    if (found === -1 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}

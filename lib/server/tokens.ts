import { jwtVerify } from 'jose'
import { matchesRoom } from '../room-name.js'
import type { AuthorizeContext, Identity } from '../../types/index.js'
import type { FastifyRequest } from 'fastify'

export interface Tokens {
  authenticate (request: FastifyRequest, token?: string): Promise<Identity | null>
  authorize (context: AuthorizeContext): boolean
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
      // Refused rather than anonymous: a WebSocket then has 5 s for its `auth` frame, and what its URL asks for waits for it.
      if (token === undefined) throw new TypeError('a token is needed')
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
      return room !== undefined && patterns !== undefined && patterns.some((pattern) => matchesRoom(pattern, room))
    }
  }
}

function readPatterns (claim: unknown): string[] {
  if (claim === undefined) return ['*']
  if (Array.isArray(claim) && claim.every((pattern) => typeof pattern === 'string')) return claim
  // Neither "every room" nor "no room" is a safe reading of what was meant.
  throw new TypeError('the claim "rooms" must be an array of strings')
}

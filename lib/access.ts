import type { FastifyRequest } from 'fastify'
import type { AuthorizeContext, Identity } from '../types/index.js'
import type { FanOutError } from './errors.js'
import type { Settings } from './options.js'
import { hash, timingSafeEqual } from 'node:crypto'
import { errors } from './errors.js'
import { matchesRoom } from './room-name.js'

/** Who makes a request, or holds a connection. */
export interface Caller {
  /** See `Access.keepable`. */
  readonly request: FastifyRequest | undefined
  /** Null: anonymous. */
  readonly identity: Identity | null
  readonly key: Settings['publishKeys'][number] | undefined
}

/** Names a publisher, so that two of them can use the same idempotency key. */
export function publisherOf (caller: Caller): string {
  if (caller.key !== undefined) return `key:${caller.key.id}`
  return caller.identity?.user === undefined ? 'anonymous' : `user:${caller.identity.user}`
}

/** Who may do what: every route and every frame asks here. */
export class Access {
  readonly #settings: Settings
  readonly #keys: Array<{ digest: Buffer, key: Settings['publishKeys'][number] }>

  constructor (settings: Settings) {
    this.#settings = settings
    this.#keys = settings.publishKeys.map((key) => ({ digest: digest(key.key), key }))
  }

  /** Whether the app asks who a client is. */
  get authenticates (): boolean {
    return this.#settings.authenticate !== undefined
  }

  /**
   * What a connection has to keep of its request. It is some KB, and so many connections are kept: where there is nobody
   * to be asked about it, nothing.
   */
  keepable (request: FastifyRequest): FastifyRequest | undefined {
    return this.authenticates || this.#settings.authorize !== undefined ? request : undefined
  }

  /** The token of a request, by the ways that a request can carry one, in order of preference. */
  tokenOf (request: FastifyRequest): string | undefined {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')
    if (bearer !== null) return bearer[1]
    const protocols = request.headers['sec-websocket-protocol']
    const protocol = protocols?.split(',').map((name) => name.trim()).find((name) => name.startsWith('bearer.'))
    if (protocol !== undefined) return protocol.slice('bearer.'.length)
    if (!this.#settings.queryToken) return undefined
    const token = (request.query as Record<string, unknown> | undefined)?.['access_token']
    return typeof token === 'string' && token !== '' ? token : undefined
  }

  /** Who sent the request, or the token: at once, where the app need not be asked. Rejects with FAN_OUT_ERR_UNAUTHORIZED where the app throws, or what it answers has run out. */
  identify (request: FastifyRequest | undefined, token: string | undefined): Caller | Promise<Caller> {
    const key = token === undefined ? undefined : this.#findKey(token)
    const { authenticate } = this.#settings
    if (key !== undefined || authenticate === undefined) return { request, identity: null, key }
    return this.#ask(authenticate, request as FastifyRequest, token)
  }

  async #ask (authenticate: NonNullable<Settings['authenticate']>, request: FastifyRequest, token: string | undefined): Promise<Caller> {
    let identity: Identity | null
    try {
      identity = checkIdentity(await authenticate(request, token))
    } catch (error) {
      request.log.info({ err: error }, 'fan-out: authentication failed')
      throw unauthorized(token === undefined ? 'send a token' : 'the token was refused')
    }
    if (identity !== null && hasExpired(identity)) throw unauthorized('the token has expired')
    return { request, identity, key: undefined }
  }

  /** Throws, or rejects, with FAN_OUT_ERR_UNAUTHORIZED or FAN_OUT_ERR_FORBIDDEN where the caller may not: at once, where the app need not be asked. */
  allow (caller: Caller, action: AuthorizeContext['action'], room: string): void | Promise<void> {
    const key = caller.key !== undefined && covers(caller.key, room) ? caller.key.id : undefined
    const { authorize } = this.#settings
    if (authorize === undefined) {
      if (action === 'subscribe' || key !== undefined) return
      throw caller.key === undefined ? unauthorized('send a publish key as "Authorization: Bearer <key>"') : new errors.Forbidden('the publish key does not cover this room')
    }
    return this.#askWhether(authorize, caller, action, room, key)
  }

  async #askWhether (authorize: NonNullable<Settings['authorize']>, caller: Caller, action: AuthorizeContext['action'], room: string, key: string | undefined): Promise<void> {
    const request = caller.request as FastifyRequest
    const { identity } = caller
    let allowed: unknown
    try {
      allowed = await authorize({ action, room, request, ...(identity?.user !== undefined && { user: identity.user }), ...(key !== undefined && { key }) })
    } catch (error) {
      request.log.warn({ err: error, room }, 'fan-out: authorization failed, and so denies')
    }
    if (allowed === true) return
    // Whom nothing is known of, although something could be, may have better luck with a token.
    const unknown = identity === null && caller.key === undefined && (this.authenticates || this.#keys.length > 0)
    throw unknown ? unauthorized('send a token') : new errors.Forbidden(`${action} was denied for this room`)
  }

  /** Whether a browser at the request's Origin may open a WebSocket here. */
  allowsOrigin (request: FastifyRequest): boolean {
    const { origin } = request.headers
    const { origins } = this.#settings
    if (origin === undefined || origins === '*') return true
    if (origins !== 'same') return origins.some((allowed) => typeof allowed === 'string' ? allowed === origin : new RegExp(allowed.source, allowed.flags.replace(/[gy]/g, '')).test(origin))
    return URL.canParse(origin) && new URL(origin).host === hostOf(request, new URL(origin).protocol)
  }

  /** Compares with every key, and in constant time each, so that the time taken tells nothing of any. */
  #findKey (token: string): Settings['publishKeys'][number] | undefined {
    const given = digest(token)
    let found: Settings['publishKeys'][number] | undefined
    for (const { digest, key } of this.#keys) if (timingSafeEqual(digest, given)) found = key
    return found
  }
}

/** What an app's `authenticate` answered, which may be written without types: nothing but null may pass for anonymous. */
function checkIdentity (answer: unknown): Identity | null {
  if (answer === null) return null
  const { user, expiresAt } = (typeof answer === 'object' ? answer : undefined) as Record<string, unknown> | undefined ?? { user: false }
  if ((user === undefined || typeof user === 'string') && (expiresAt === undefined || Number.isFinite(expiresAt))) return answer as Identity
  throw new TypeError('authenticate must answer null, or { user?: string, info?, expiresAt?: number }')
}

export function hasExpired (identity: Identity): boolean {
  return identity.expiresAt !== undefined && identity.expiresAt <= Date.now()
}

function unauthorized (what: string): FanOutError {
  const error: FanOutError = new errors.Unauthorized(what)
  error.headers = { 'www-authenticate': 'Bearer' }
  return error
}

function covers (key: { rooms?: string[] }, room: string): boolean {
  return key.rooms === undefined || key.rooms.some((pattern) => matchesRoom(pattern, room))
}

function digest (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

/** The host as the browser would write it in an Origin of that protocol: without the default port. TLS may have ended before us, so the protocol is the browser's. */
function hostOf (request: FastifyRequest, protocol: string): string | undefined {
  const url = `${protocol}//${request.host}`
  return URL.canParse(url) ? new URL(url).host : undefined
}

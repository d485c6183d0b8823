/**
 * The public surface of fastify-fan-out, on one page. Times are milliseconds and sizes are bytes, everywhere.
 */
import type { FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { Broker } from '../lib/brokers/broker.js'
import type { RedisClient } from '../lib/brokers/redis/client.js'

export type { Broker, BrokerEvents, Hole, LiveHole, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../lib/brokers/broker.js'
export type { RedisClient } from '../lib/brokers/redis/client.js'
export type { Cursor } from '../lib/cursor.js'
export type { GapReason } from '../lib/message.js'
import type { GapReason } from '../lib/message.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Rooms over WebSocket and Server-Sent Events, by fastify-fan-out. */
    rooms: FanOutRooms
  }
}

/** Any value that JSON can carry. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Who a client is, as `authenticate` found. */
export interface Identity {
  /** The application's own id of a user; shown in presence, and what `rooms.disconnect({ user })` names. */
  user?: string
  /** Anything about the user that others in a room may see (presence). It must be JSON. */
  info?: unknown
  /** When the token ends, in ms since 1970. The connection is then closed with 4401, unless a fresh token came by an `auth` frame. */
  expiresAt?: number
}

/** What is to be allowed or denied. */
export interface AuthorizeContext {
  /** `subscribe` also covers reading the history; `presence` the list of members, joins and leaves. `control` is reserved: nothing asks for it yet. */
  action: 'subscribe' | 'publish' | 'presence' | 'control'
  room?: string
  /** From `authenticate`. */
  user?: string
  /** The id of the publish key that was presented, where its rooms cover this one. */
  key?: string
  /** The HTTP request; on a WebSocket the one that opened it. */
  request: FastifyRequest
}

export interface PublishKey {
  /** Names the key in logs and in `authorize`; never secret. */
  id: string
  /** The secret, sent as `Authorization: Bearer <key>`. */
  key: string
  /** Patterns of the rooms it is good for, `*` standing for any characters. Default: every room. */
  rooms?: string[]
}

export interface FanOutOptions {
  /** Where the routes are, below the prefix of the surrounding plugin. Default: `'/rooms'`. */
  prefix?: string
  /** The decorator's name; a second registration needs another, and another prefix. Default: `'rooms'`. */
  name?: string
  /**
   * A URL: `'memory:'`, `'redis://…'` or `'rediss://…'` (with several hosts and `?sentinel=<name>` or `?cluster=true`
   * Sentinels or a Cluster), `'redis+pubsub://…'` without a window; `'nats+jetstream://…'`; `'nats://…'`, without a window and without idempotency keys; an ioredis client, 5 or 6, Cluster and Sentinel included (`app.redis` of @fastify/redis: two
   * connections are opened like it, and it is left alone); or a broker of your own that passes the contract suite.
   * Default: `'memory:'`.
   */
  broker?: string | Broker | RedisClient
  brokerOptions?: {
    /** What the names of keys and channels in Redis, and of subjects on NATS, begin with. Default: `'fan-out'`. */
    keyPrefix?: string
    /** Whether start-up waits for the broker (and fails without it), or goes on and answers 503 until it is there. Default: `'wait'`. */
    start?: 'wait' | 'background'
    /** How long start-up tries; Fastify's own `pluginTimeout` must be above it. Default: 8,000 ms. */
    startTimeout?: number
    /** How long a publish, or a read, may take before it fails with 503. Default: 5,000 ms. */
    publishTimeout?: number
    /**
     * Redis: a publish is acknowledged only when so many replicas have it, and refused (503) where they do not in time.
     * JetStream: the stream is made with so many replicas beside the first, so 2 is R3. Default: 0.
     */
    replicas?: number
    /**
     * Redis: how it is known that another may have taken its place, without all that was acknowledged. `'detect'`: by its
     * `master_replid`; where `INFO` does not name one, as `'suspect'`, with a warning. `'suspect'`: every reconnect counts as one,
     * and is a gap for all. `'trust'`: a reconnect alone is no gap. Default: `'detect'`.
     */
    failover?: 'detect' | 'suspect' | 'trust'
  }
  /** The replay window of each room, bounded by all three. */
  history?: {
    /** Messages. Default: 1,000. */
    size?: number
    /** Default: 5 minutes. */
    maxAge?: number
    /** Default: 4 MiB. */
    bytes?: number
  }
  /** How long an idempotency key is remembered from its first acceptance. Default: 5 minutes. */
  idempotencyTtl?: number
  /**
   * Who a client is. It gets the token where one was sent, by whichever of the four ways. Answer null for an anonymous
   * client; throw to refuse it (401, on a WebSocket 4401). Without it every client is anonymous.
   */
  authenticate?: (request: FastifyRequest, token?: string) => Identity | null | Promise<Identity | null>
  /**
   * What a client may do; every route and every frame passes through it. What throws denies. Without it subscribing is
   * open, and all else needs a publish key.
   */
  authorize?: (context: AuthorizeContext) => boolean | Promise<boolean>
  /** Several are valid at once, so that they can be changed one after the other. */
  publishKeys?: PublishKey[]
  /**
   * From which origins a browser may open a WebSocket: `'same'` compares with the request's host, `'*'` allows all. A
   * request without an Origin passes. Default: `'same'`.
   */
  origins?: 'same' | '*' | Array<string | RegExp>
  /** Take a token from `?access_token=`, for EventSource. It is redacted in the log either way. Default: false. */
  queryToken?: boolean
  /** Allow `publish` frames, to whom `authorize` (or a publish key) allows them. Default: false. */
  clientPublish?: boolean
  /** Serve the browser's client at `<prefix>/client.js`, an ES module. Default false. */
  client?: boolean
  /** Keep who is in each room, together with all servers on the broker that have it on. Default: false. */
  presence?: boolean
  /** Negotiate permessage-deflate; a message is compressed once, whatever the number of subscribers. Default: false. */
  compression?: boolean
  /**
   * What a client without a usable cursor is sent before the messages, and each after a gap. It must be at least as new
   * as the room is when it is called. Answer undefined for a room that has none.
   */
  snapshot?: (room: string) => unknown
  /** Hooks on our routes only. */
  hooks?: Pick<RouteShorthandOptions, 'onRequest' | 'preHandler'>
  heartbeat?: {
    /** Between pings. Default: 25,000 ms. */
    interval?: number
    /** How long a ping may go unanswered. Default: 10,000 ms. */
    timeout?: number
  }
  /** How long a room without local subscribers is kept, so that a reload does not leave and join it. Default: 5,000 ms. */
  linger?: number
  close?: {
    /** Over how long `app.close()` sends the clients away. Above 0 it needs Fastify's `return503OnClosing: false`, see docs/closing.md. Default: 0, all at once. */
    drain?: number
    /** How long it then waits for them, and for publishes in flight. Default: 5,000 ms. */
    timeout?: number
  }
  limits?: {
    /** Of a client's frame. Default: 64 KiB. */
    frame?: number
    /** Of a POST, and of a message published in the process. Default: 1 MiB. */
    body?: number
    /** Messages in a batch. Default: 1,000. */
    batch?: number
    /** Default: 100. */
    roomsPerConnection?: number
    /** Sustained; a burst of four times as many is let through. Default: 50. */
    framesPerSecond?: number
    /** Default: 50,000. */
    connections?: number
    /** By `request.ip`. Default: off. */
    connectionsPerAddress?: number
    /** Bytes of the live stream that a client may leave unread before it is closed with 4408. Default: 1 MiB. */
    queue?: number
    /** How long a WebSocket may stay without a token, where authentication is asked for. Default: 5,000 ms. */
    firstFrame?: number
    /** Messages replayed to one subscriber at most; who missed more is told by a gap, `overflow`. Default: the window. */
    replay?: number
  }
}

export interface PublishOptions {
  /**
   * 1 to 128 bytes. The same key in the same room within `idempotencyTtl` answers with the first publish's id and
   * `duplicate: true`, and publishes nothing.
   */
  idempotencyKey?: string
}

export interface PublishResult {
  room: string
  /** The message's cursor. */
  id: string
  duplicate: boolean
}

/** A message that was refused, in the place of its result. */
export interface PublishFailure {
  room: string
  /** With `statusCode`, `code` and `message`. */
  error: Error & { code: string, statusCode?: number }
}

export interface MessageEvent<Data = unknown> { type: 'message', room: string, id: string, data: Data }
export interface GapEvent { type: 'gap', room: string, id: string, reason: GapReason, from?: string }
export interface SnapshotEvent<Data = unknown> { type: 'snapshot', room: string, id: string, data: Data }
export type RoomEvent<Data = unknown> = MessageEvent<Data> | GapEvent | SnapshotEvent<Data>

export interface SubscribeOptions {
  /** The id of the last message received, to go on after it; `'earliest'` for the whole window. */
  since?: string
  /** The last so many messages, where there is no `since`. */
  replay?: number
  /** Closes the subscription, or gives up waiting for it. */
  signal?: AbortSignal
}

export interface Subscription {
  readonly room: string
  /** The position just before the first message that follows. */
  readonly id: string
  /** Whether everything since the cursor follows; undefined where none was given. */
  readonly recovered: boolean | undefined
  /** How many retained messages follow as replay. */
  readonly replayed: number
  /** Resolves when no further event will come: with nothing after `close()` or an abort, with the error where the server has ended it (FAN_OUT_ERR_SNAPSHOT, FAN_OUT_ERR_CLOSING). */
  readonly closed: Promise<Error | undefined>
  /** No event comes after it resolves. */
  close (): Promise<void>
}

export interface HistoryOptions {
  /** Exclusive; without it reading starts at the oldest message retained. */
  since?: string
  /** 1 to 1,000. Default: 100. */
  limit?: number
  /** `desc`: the newest first, not paged. Default: `'asc'`. */
  order?: 'asc' | 'desc'
}

export interface History<Data = unknown> {
  room: string
  /** The cursor for the next page. */
  id: string
  /** False where messages after `since` are missing. */
  complete: boolean
  /** Whether another page follows. */
  more: boolean
  messages: Array<{ id: string, data: Data }>
}

export interface Member {
  connection: string
  user?: string
  info?: unknown
}

/** Whose connections: those of a user, or the one of that id. */
export interface ConnectionFilter {
  user?: string
  connection?: string
}

export interface Stats {
  /** Rooms that this server has joined, lingering ones included. */
  rooms: number
  subscriptions: number
  connections: { websocket: number, events: number }
  /** Counted since the start: accepted publishes, messages received from the broker, entries given to subscribers, gaps, repairs of a room, clients closed for being too slow. */
  published: number
  received: number
  delivered: number
  gaps: number
  repairs: number
  slow: number
}

/** `app.rooms`: the same product without HTTP. Its calls are trusted; they throw the errors that the routes answer with. */
export interface FanOutRooms {
  /** Whether this server takes work: the broker was reached, and it is not leaving. */
  readonly ready: boolean
  /** Resolves once the message is in the window. Rejects with 400, 413, 429 or 503. */
  publish (room: string, data: unknown, options?: PublishOptions): Promise<PublishResult>
  /** One result or failure for each message, in the order given. Not atomic. */
  publishMany (messages: Array<{ room: string, data: unknown } & PublishOptions>): Promise<Array<PublishResult | PublishFailure>>
  /**
   * Events come in order, once each. A handler that answers a promise is waited for before the next event; one that
   * throws is logged, and goes on. None comes before the promise has resolved.
   */
  subscribe<Data = unknown> (room: string, handler: (event: RoomEvent<Data>) => unknown): Promise<Subscription>
  subscribe<Data = unknown> (room: string, options: SubscribeOptions, handler: (event: RoomEvent<Data>) => unknown): Promise<Subscription>
  history<Data = unknown> (room: string, options?: HistoryOptions): Promise<History<Data>>
  /** One member for each subscription, on all servers; one that does not answer within 1 s is left out. Rejects with 404 where no presence is kept, 503 where the broker is away. */
  presence (room: string): Promise<Member[]>
  /** Takes the connections out of the room, on every server. */
  unsubscribe (room: string, filter: ConnectionFilter, reason?: string): Promise<void>
  /** Closes the connections with 4403, on every server. An event stream just ends, and its client comes back: it is `authorize` that keeps one out. */
  disconnect (filter: ConnectionFilter, reason?: string): Promise<void>
  stats (): Stats
  /** Takes no new work, and sends the clients who are here away (1001) over so many ms. Resolves when they are gone. */
  drain (options?: { over?: number }): Promise<void>
}

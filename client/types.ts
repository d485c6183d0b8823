/** What is told of a room, the same as on the wire and as in the process of a server. `id` is a cursor: opaque, good for this room, handed back as `since`. */
export interface RoomMessage<Data = unknown> { type: 'message', room: string, id: string, data: Data }

/** Messages are missing here, before whatever follows. `from`: for `forked`, the last position that still counts; what came after it is disowned. */
export interface RoomGap { type: 'gap', room: string, id: string, reason: 'expired' | 'epoch' | 'overflow' | 'forked' | (string & {}), from?: string }

/** The room's state as the server has it; messages after `id` follow, and may already be part of it. */
export interface RoomSnapshot<Data = unknown> { type: 'snapshot', room: string, id: string, data: Data }

/** Somebody came or left. A hint: it has no place among the messages. */
export interface RoomPresence { type: 'join' | 'leave', room: string, member: Member }

/**
 * `joining` until the server has answered, and again while the connection is away; `joined`, with `recovered` as the server
 * said it; `left`, with an error where it was the server that ended it.
 */
export interface RoomStateEvent { type: 'state', room: string, state: RoomState, recovered: boolean | undefined, error: Error | undefined }

export type RoomState = 'joining' | 'joined' | 'left'
export interface Member { connection: string, user?: string, info?: unknown }

export interface RoomEvents<Data = unknown> {
  message: RoomMessage<Data>
  gap: RoomGap
  snapshot: RoomSnapshot
  join: RoomPresence
  leave: RoomPresence
  state: RoomStateEvent
}

/**
 * `connecting`; `open`; `waiting`, for `retryIn` ms before it connects again; `closed`, for good, with an error where
 * it was not asked for. `error` tells what went wrong last.
 */
export interface ClientStateEvent { type: 'state', state: ClientState, transport: Transport | undefined, retryIn: number | undefined, error: Error | undefined }

export type ClientState = 'connecting' | 'open' | 'waiting' | 'closed'
export type Transport = 'websocket' | 'events'
export interface ClientEvents { state: ClientStateEvent }

export interface ListenOptions { once?: boolean, signal?: AbortSignal }

export type Listener<Event> = ((event: Event) => void) | { handleEvent (event: Event): void }

/** As an EventTarget, with types. The events are plain objects; iterating a room gives the same. */
export interface Listenable<Events> {
  addEventListener<Type extends keyof Events & string> (type: Type, listener: Listener<Events[Type]>, options?: ListenOptions): void
  removeEventListener<Type extends keyof Events & string> (type: Type, listener: Listener<Events[Type]>): void
}

export interface ConnectOptions {
  /**
   * What the server's `authenticate` takes, or a function that answers it: called afresh for each connection, after a
   * 4401, and before a token expires. A server that asks for none needs none.
   */
  token?: string | (() => Token | Promise<Token>)
  /** Closes the client. */
  signal?: AbortSignal
  /** Where the cursor of each room is kept, so that a reload resumes: `sessionStorage`, or what is like it. Written at each message. Not kept unless given. */
  storage?: CursorStorage
  /** `auto`: a WebSocket, and Server-Sent Events where those are blocked. Default `auto`. */
  transport?: 'auto' | Transport
  /** In ms: a connection that says nothing for so long is given up. A ping is sent after half of it. Default 10,000. */
  heartbeat?: number
  /** Shares one connection between the tabs of a browser: `sharedTabs` of `fastify-fan-out/client/tabs`. */
  share?: (open: OpenLink) => OpenLink
  /** Where there is none in the platform: Node before 22 has no WebSocket, `ws` gives one. */
  WebSocket?: WebSocketConstructor
  fetch?: Fetch
}

export type Token = string | null | undefined
export interface CursorStorage { getItem (key: string): string | null, setItem (key: string, value: string): void }

export interface JoinOptions {
  /** Begin after this cursor, or with the oldest message retained. It beats a stored one. */
  since?: string | 'earliest' | undefined
  /** Begin with the last so many messages, where there is no cursor. */
  replay?: number
  /** Be told of joins and leaves. Default false. */
  presence?: boolean
  /** Read over HTTP, page by page, what the server does not replay because it is too much (`overflow`), before that becomes a gap. Default false. */
  history?: boolean
  /** Leaves the room. */
  signal?: AbortSignal
}

export interface PublishOptions {
  /**
   * Publishing again under the same key, within some minutes, publishes nothing. One is made up, so that what is sent again after a reconnect is published
   * once. Where the server's broker takes no keys (`nats:`) a publish goes without, and is rejected with FAN_OUT_ERR_CONNECTION if the connection breaks
   * before its answer: it may have been published.
   */
  idempotencyKey?: string
  /** Gives up waiting; whether it was published is then unknown. */
  signal?: AbortSignal
}

export interface Published { id: string, duplicate: boolean }

export interface HistoryOptions { since?: string, limit?: number, order?: 'asc' | 'desc', signal?: AbortSignal }

/** `id`: the cursor of the next page. `complete` is false where `since` lies before what is retained. */
export interface History<Data = unknown> { room: string, id: string, complete: boolean, more: boolean, messages: Array<{ id: string, data: Data }> }

export interface Client extends Listenable<ClientEvents> {
  readonly state: ClientState
  /** Of the present connection. */
  readonly transport: Transport | undefined
  /** Joins a room, now or as soon as there is a connection. Throws FAN_OUT_ERR_ALREADY_JOINED where it is joined. */
  join<Data = unknown> (room: string, options?: JoinOptions): Room<Data>
  /** Publishes, where the server lets clients. Waits for a connection as long as it must; rejects with the server's error, or FAN_OUT_ERR_CLOSED. */
  publish (room: string, data: unknown, options?: PublishOptions): Promise<Published>
  /** Leaves all rooms, and closes the connection. */
  close (): void
}

/** Iterated, it gives messages, gaps and snapshots from now on, until the room is left; throws where the server ended it. */
export interface Room<Data = unknown> extends Listenable<RoomEvents<Data>>, AsyncIterable<RoomMessage<Data> | RoomGap | RoomSnapshot> {
  readonly name: string
  readonly state: RoomState
  /** Where this client stands in the room; undefined before anything is known. */
  readonly id: string | undefined
  /** Why the server ended it. */
  readonly error: Error | undefined
  publish (data: unknown, options?: PublishOptions): Promise<Published>
  /** Reads what is retained, over HTTP: `limit` 100, at most 1,000 messages after `since`. */
  history (options?: HistoryOptions): Promise<History<Data>>
  /** Who is there, over HTTP, where the server keeps presence and allows it. */
  presence (options?: { signal?: AbortSignal }): Promise<{ room: string, count: number, members: Member[] }>
  leave (): void
}

/** A frame of the protocol. */
export interface Frame { type: string, room?: string | undefined, ref?: number | string | undefined, [field: string]: unknown }

/** Why a link was lost. `opened`: whether it had ever been welcomed. */
export interface Lost { code: number, reason: string, opened: boolean, /** In ms. */ retryAfter?: number | undefined }

export interface LinkEvents {
  /** Frames are taken from now on. */
  open (): void
  frame (frame: Frame): void
  /** Called once, and nothing after it. */
  lost (why: Lost): void
}

/** One connection, of whatever kind: it takes and gives the frames of the protocol. */
export interface Link {
  readonly transport: Transport
  send (frame: Frame): void
  /** Finds out soon whether it is still there. */
  probe (): void
  /** Ends it; no event comes any more. */
  close (): void
}

export interface LinkOptions {
  url: string
  token: Token
  transport: Transport
  /** It is the second best: it ends after a while, so that a WebSocket is tried again. */
  fallback?: boolean
  /** In ms. */
  heartbeat: number
  WebSocket: WebSocketConstructor | undefined
  /** Asks the server about a room. */
  request (room: string, path: string, token: Token, init: RequestInit): Promise<Response>
}
export type OpenLink = (options: LinkOptions, events: LinkEvents) => Promise<Link>

// What is used of the platform, so that neither the DOM's types nor Node's are needed.
export interface WebSocketLike {
  onopen: ((event: any) => void) | null
  onmessage: ((event: any) => void) | null
  onclose: ((event: any) => void) | null
  onerror: ((event: any) => void) | null
  send (text: string): void
  close (code?: number): void
}
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike
export type Fetch = typeof fetch

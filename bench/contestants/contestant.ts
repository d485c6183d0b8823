/** Something that carries messages from a POST to WebSockets, in processes of its own. */
export interface Contestant {
  name: string
  start (options: StartOptions): Promise<Running>
}

export interface StartOptions {
  /** The URL of a Redis to share; without it messages stay in the process. */
  redis?: string
  /** The URL of a NATS to share, as ours takes it. */
  nats?: string
  /** Default: 1. */
  servers?: number
}

export interface Running {
  /** `http://127.0.0.1:<port>`, one a server. */
  urls: string[]
  /** The servers' processes, whose CPU time and memory are looked at. */
  pids: number[]
  socket: SocketRecipe
  /** One HTTP POST that publishes all of them, in their order; each is the JSON text of a message's data. */
  publish (room: string, messages: string[]): HttpRequest
  /** What only a server in a process of ours can be asked, see `servers/serve.ts`. */
  ask?: Ask
  /** Ends every process that was started. */
  stop (): Promise<void>
}

/** What a raw WebSocket client has to send, and to look for in what comes. */
export interface SocketRecipe {
  headers?: Record<string, string>
  /**
   * What a client connects to, and the text frames that it sends behind the upgrade, to be in the rooms. `since`: behind
   * the message of that id, where it was before.
   */
  enter (rooms: string[], since?: string): { path: string, frames: string[] }
  /** Occurs once in what the server sends for each room joined. Empty: nothing is joined, the upgrade is all. */
  joined: string
  /** Whether `since` is obeyed. */
  resumes?: true
  /** A text frame that the client has to answer by another. */
  keepAlive?: { ping: string, pong: string }
}

export interface HttpRequest {
  path: string
  headers: Record<string, string>
  body: string
}

export type Ask = (question: Question) => Promise<any>

export type Question =
  /** Begins to watch the delay of the event loop. */
  | { ask: 'watch' }
  /** What was seen since `watch`, in ms: `{ p99, max }`. */
  | { ask: 'delay' }
  /** Collects the garbage, so that memory can be compared. */
  | { ask: 'collect' }
  /** Publishes batches in the process, `inFlight` at a time, of messages of so many bytes; times in ms. `{ published, seconds, cpu }`, that being its CPU time in seconds. */
  | { ask: 'publish', rooms: string[], batch: number, inFlight: number, bytes: number, warmUp: number, duration: number }

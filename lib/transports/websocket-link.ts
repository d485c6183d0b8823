import type { FastifyRequest } from 'fastify'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { FanOutError } from '../errors.js'
import type { Format } from '../message.js'
import type { Settings } from '../options.js'
import type { Resumable } from './paced-writer.js'
import { closeCodeOf } from './close-codes.js'
import { compressedFrames, frames } from './frames.js'
import { Heartbeat } from './heartbeat.js'
import { joinWrites } from './join-writes.js'
import { PacedWriter } from './paced-writer.js'
import { rawSocket } from './raw-socket.js'
import { TokenBucket } from './token-bucket.js'

// How long a socket that was told to close may take, in ms.
const CLOSING = 2_000

/** A client's socket: what is written to it, how much comes from it, whether it lives, and how it ends. */
export class WebSocketLink {
  /** How messages are encoded for it. */
  readonly format: Format
  readonly #websocket: WebSocket
  readonly #socket: Duplex
  readonly #writer: PacedWriter
  readonly #heartbeat: Heartbeat
  readonly #bucket: TokenBucket
  #closing: number | undefined

  constructor (websocket: WebSocket, request: FastifyRequest, { limits, heartbeat, compression }: Settings) {
    this.#websocket = websocket
    this.#socket = rawSocket(websocket)
    this.#writer = new PacedWriter(this.#socket, limits.queue)
    this.#heartbeat = new Heartbeat(heartbeat)
    this.#bucket = new TokenBucket(limits.framesPerSecond)
    this.format = compression && compresses(websocket, request) ? compressedFrames : frames
  }

  /** Whether it is neither closed nor about to be: only then anything is written, or obeyed. */
  get open (): boolean {
    return this.#closing === undefined && this.#websocket.readyState === this.#websocket.OPEN
  }

  /**
   * Writes what does not wait: live messages, and answers; joined with what else is written in this turn, where there
   * can be more. False where the client has left too much of it unread.
   */
  writeNow (buffer: Buffer, joined: boolean): boolean {
    if (!this.open) return true
    if (this.#writer.tooSlow) return false
    if (joined) joinWrites(this.#socket)
    this.#writer.writeNow(buffer)
    return true
  }

  /** Writes a piece of a replay. False where no more should come until `replay.resume()` is called. */
  write (buffer: Buffer, replay: Resumable): boolean {
    return !this.open || this.#writer.write(buffer, replay)
  }

  /** Whether a piece of a replay may be written, as `write` answers. */
  ready (replay: Resumable): boolean {
    return !this.open || this.#writer.ready(replay)
  }

  /** Counts something that came, of any kind; false where that is too much. */
  count (): boolean {
    const now = performance.now()
    this.#heartbeat.beat(now)
    return this.#bucket.take(now)
  }

  /** Reads no more while it is told so, except for the answer to a close. */
  pause (paused: boolean): void {
    if (paused && this.#closing === undefined) this.#websocket.pause()
    else if (this.#websocket.isPaused) this.#websocket.resume()
  }

  /** Called about once a second. */
  tick (now: number): void {
    if (this.#closing !== undefined) {
      if (now - this.#closing > CLOSING) this.destroy()
      return
    }
    // A slow reader comes to the ping only when it has read what was sent before.
    if (this.#writer.hasAdvanced()) this.#heartbeat.beat(now)
    const health = this.#heartbeat.check(now)
    if (health === 'dead') this.destroy()
    else if (health === 'ping') this.#websocket.ping()
  }

  close (error: FanOutError): void {
    this.ending()
    // A close frame has room for 123 bytes of reason.
    this.#websocket.close(closeCodeOf(error), Buffer.from(error.message).subarray(0, 123).toString().replace(/\uFFFD+$/, ''))
    this.pause(false)
  }

  /** It is being closed, by whomever. */
  ending (): void {
    this.#closing ??= performance.now()
  }

  /** The client has broken the protocol, and ws has written the close frame that says how: the socket ends behind it, so that it can be read. */
  failed (): void {
    this.ending()
    this.#socket.end()
  }

  destroy (): void {
    this.#websocket.terminate()
  }
}

/** Whether frames may be compressed with the full window: permessage-deflate was agreed on, and the client asked for no smaller one. */
function compresses (websocket: WebSocket, request: FastifyRequest): boolean {
  return websocket.extensions.includes('permessage-deflate') && request.headers['sec-websocket-extensions']?.includes('server_max_window_bits') !== true
}

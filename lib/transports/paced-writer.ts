/** What is written to: a socket, or a response. */
interface Stream {
  readonly writableLength: number
  write (buffer: Buffer, written?: () => void): boolean
}

interface Resumable {
  resume (): void
}

// A replay stops while more than this is unsent, and goes on when half of it has been taken, in bytes.
const REPLAY_UNSENT = 256 * 1024

/**
 * Writes a client's live stream and its replays to one stream. A replay goes as fast as the stream takes it, and waits
 * for it as long as it must; the live stream does not wait, so of it only so much may be unsent.
 */
export class PacedWriter {
  readonly #stream: Stream
  readonly #queue: number
  /** Of what is unsent, what was replayed: it was paced, and is no sign of a client that is too slow. */
  #replayUnsent = 0
  readonly #waiting = new Set<Resumable>()

  constructor (stream: Stream, queue: number) {
    this.#stream = stream
    this.#queue = queue
  }

  /** Whether the client has left more of the live stream unread than it may. */
  get tooSlow (): boolean {
    return this.#stream.writableLength - this.#replayUnsent > this.#queue
  }

  /** Writes a piece of a replay. False where no more should come until `replay.resume()` is called. */
  write (buffer: Buffer, replay: Resumable): boolean {
    this.#replayUnsent += buffer.length
    this.#stream.write(buffer, () => {
      this.#replayUnsent -= buffer.length
      if (this.#stream.writableLength > REPLAY_UNSENT / 2) return
      const waiting = [...this.#waiting]
      this.#waiting.clear()
      for (const replay of waiting) replay.resume()
    })
    if (this.#stream.writableLength <= REPLAY_UNSENT) return true
    this.#waiting.add(replay)
    return false
  }
}

/** What is written to: a socket, or a response. */
interface Stream {
  readonly writableLength: number
  write (buffer: Buffer, written?: () => void): boolean
}

/** A replay, as far as the writer knows it. */
export interface Resumable {
  resume (): void
}

// A replay stops while more than this is unsent, and goes on when half of it has been taken, in bytes.
const REPLAY_UNSENT = 256 * 1024

/**
 * Writes a client's live stream and its replays to one stream. The replays go together as fast as the stream takes
 * them, and wait for it as long as they must; the live stream does not wait, so of it only so much may be unsent.
 */
export class PacedWriter {
  readonly #stream: Stream
  readonly #queue: number
  /** Of what is unsent, what was replayed: it was paced, and is no sign of a client that is too slow. */
  #replayUnsent = 0
  #advanced = false
  #waiting: Set<Resumable> | undefined
  readonly #wake = (): void => this.#wakeWaiting()

  constructor (stream: Stream, queue: number) {
    this.#stream = stream
    this.#queue = queue
  }

  /** Whether the client has left more of the live stream unread than it may. */
  get tooSlow (): boolean {
    return this.#stream.writableLength - this.#replayUnsent > this.#queue
  }

  /** Whether some of a replay was taken since this was last asked: more than the system holds for a peer is taken only as that peer reads. */
  hasAdvanced (): boolean {
    const advanced = this.#advanced
    this.#advanced = false
    return advanced
  }

  /** Whether a replay may be written now. Where not, `replay.resume()` is called once it is worth asking again. */
  ready (replay: Resumable): boolean {
    if (this.#stream.writableLength <= REPLAY_UNSENT) return true
    this.#waiting ??= new Set()
    this.#waiting.add(replay)
    return false
  }

  /** Writes a piece of a replay, and answers as `ready` does. */
  write (buffer: Buffer, replay: Resumable): boolean {
    this.#replayUnsent += buffer.length
    this.#stream.write(buffer, () => {
      this.#replayUnsent -= buffer.length
      this.#advanced = true
      this.#wakeWaiting()
    })
    return this.ready(replay)
  }

  /** Writes what does not wait. Replays may be waiting for it to be taken. */
  writeNow (buffer: Buffer): void {
    this.#stream.write(buffer, this.#wake)
  }

  #wakeWaiting (): void {
    if (this.#waiting === undefined || this.#stream.writableLength > REPLAY_UNSENT / 2) return
    const [latest, ...others] = this.#waiting
    this.#waiting = undefined
    // Each asks again before it writes, and the first fill what there is to fill: they take turns, and the one that wrote is the first here.
    for (const replay of others) replay.resume()
    latest?.resume()
  }
}

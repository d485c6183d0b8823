export interface HistoryLimits {
  size: number
  /** In ms. */
  maxAge: number
  bytes: number
}

interface Kept { text: string, bytes: number, time: number }

/** What was published to one room under one epoch, counted from 1; the newest messages are kept. */
export class MemoryHistory {
  readonly epoch: number
  /** The offset of the newest message. */
  top = 0
  readonly #kept: Kept[] = []
  #bytes = 0

  constructor (epoch: number) {
    this.epoch = epoch
  }

  /** The offset before the oldest message that is kept. */
  get before (): number {
    return this.top - this.#kept.length
  }

  push (text: string, now: number, limits: HistoryLimits): void {
    const bytes = Buffer.byteLength(text)
    this.top++
    this.#kept.push({ text, bytes, time: now })
    this.#bytes += bytes
    this.trim(now, limits)
  }

  /** The texts of the messages after the offset `from`, which is not below `before`. */
  after (from: number, limit: number): string[] {
    const index = from - this.before
    return this.#kept.slice(index, index + limit).map(({ text }) => text)
  }

  /** Forgets what is past the limits. */
  trim (now: number, limits: HistoryLimits): void {
    const kept = this.#kept
    const oldestTime = now - limits.maxAge
    let drop = Math.max(0, kept.length - limits.size)
    for (let i = 0; i < drop; i++) this.#bytes -= (kept[i] as Kept).bytes
    for (; drop < kept.length; drop++) {
      const { bytes, time } = kept[drop] as Kept
      // The newest message stays however large it is: a window that holds nothing could not repair the live stream.
      const tooMuch = this.#bytes > limits.bytes && drop < kept.length - 1
      if (time > oldestTime && !tooMuch) break
      this.#bytes -= bytes
    }
    if (drop > 0) kept.splice(0, drop)
  }
}

import type { Scheduler } from '../../scheduler.js'

// In ms: between looks at whether it is over, and between tries to find out.
const SOON = 10
const AGAIN = 300
// What comes live meanwhile, at most; what does not fit is found missing later.
const HELD = 10_000

export interface CertaintyOptions {
  scheduler: Scheduler
  /** Finds out what the stream is. `isOver`: nobody waits for the answer any more. */
  look: (isOver: () => boolean) => Promise<void>
  /** It was found out, and what was held has been taken. */
  found: () => void
  /** It could not be found out, and will be tried again. */
  failed: (error: Error) => void
  /** The error for whoever waits in vain. */
  away: () => Error
}

/**
 * Whether it is known what the stream is. It is not while the link is broken, nor once a sequence came again for another message, until
 * somebody has looked. Meanwhile what comes live is held, and whoever asks waits: an answer that is taken for one of the
 * stream that was there before would give an id twice.
 */
export class Certainty {
  readonly #options: CertaintyOptions
  #held: Array<() => void> | undefined
  #doubts = 0
  #active = false
  #linked = false

  constructor (options: CertaintyOptions) {
    this.#options = options
  }

  /** From here on there is something to be lost. */
  begin (): void {
    this.#active = true
  }

  close (): void {
    this.#active = false
  }

  get isSure (): boolean {
    return this.#held === undefined
  }

  /** How often it was in doubt: what began before another doubt is of what was before. */
  get doubts (): number {
    return this.#doubts
  }

  linked (): void {
    this.#linked = true
    if (this.#active) void this.#resume()
  }

  unlinked (): void {
    this.#linked = false
    this.doubt()
  }

  /** The link is broken, or the stream is not what it was: what was held until now came of what was before. */
  doubt (): void {
    if (!this.#active) return
    this.#doubts++
    this.#held = []
    if (this.#linked) void this.#resume()
  }

  /** Takes something that came live, now or when it is sure what it is. */
  take (work: () => void): void {
    if (this.#held === undefined) work()
    else if (this.#held.length < HELD) this.#held.push(work)
  }

  /** Does `work` again where doubts came meanwhile: answers of before and after may be mixed in it. */
  async surely<T> (deadline: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      if (!await this.untilSure(deadline)) throw this.#options.away()
      const doubts = this.#doubts
      const done = await work()
      if (doubts === this.#doubts) return done
    }
  }

  /** False where it is not by the deadline. */
  async untilSure (deadline: number): Promise<boolean> {
    while (this.#held !== undefined && this.#active && this.#options.scheduler.now() < deadline) await this.#pause(SOON)
    return this.#held === undefined
  }

  async #resume (): Promise<void> {
    const doubts = this.#doubts
    const isOver = (): boolean => !this.#active || doubts !== this.#doubts
    for (let known = false; !known;) {
      try {
        await this.#options.look(isOver)
        known = true
      } catch (error) {
        if (isOver()) return
        this.#options.failed(error as Error)
        await this.#pause(AGAIN)
      }
    }
    if (isOver()) return
    const held = this.#held ?? []
    this.#held = undefined
    for (const take of held) take()
    this.#options.found()
  }

  async #pause (delay: number): Promise<void> {
    const { scheduler } = this.#options
    await new Promise<void>((resolve) => scheduler.after(delay * (0.5 + scheduler.random()), resolve))
  }
}

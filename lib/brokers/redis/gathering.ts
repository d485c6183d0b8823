import type { Scheduler } from '../../scheduler.js'

interface Gathered<Item, Answer> { items: Item[], answers: Promise<ReadonlyArray<Answer | Error>> }

/** Gathers what is asked in one turn of the event loop, and asks it at the end of the turn in one go. */
export class Gathering<Item, Answer> {
  readonly #scheduler: Scheduler
  readonly #most: number
  readonly #ask: (items: readonly Item[]) => Promise<ReadonlyArray<Answer | Error>>
  #open: Gathered<Item, Answer> | undefined

  /** `ask` is given no more than `most` at once. It answers each in its place, or rejects where all have failed alike. */
  constructor (scheduler: Scheduler, most: number, ask: (items: readonly Item[]) => Promise<ReadonlyArray<Answer | Error>>) {
    this.#scheduler = scheduler
    this.#most = most
    this.#ask = ask
  }

  async add (item: Item): Promise<Answer> {
    if (this.#open === undefined || this.#open.items.length === this.#most) this.#open = this.#begin()
    const { items, answers } = this.#open
    const index = items.push(item) - 1
    const answer = (await answers)[index] as Answer | Error
    if (answer instanceof Error) throw answer
    return answer
  }

  #begin (): Gathered<Item, Answer> {
    const items: Item[] = []
    const answers = new Promise<void>((resolve) => this.#scheduler.soon(resolve)).then(() => {
      if (this.#open?.items === items) this.#open = undefined
      return this.#ask(items)
    })
    return { items, answers }
  }
}

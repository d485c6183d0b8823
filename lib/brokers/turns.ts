/** Calls of one name are obeyed one after the other. */
export class Turns {
  readonly #turns = new Map<string, Promise<unknown>>()

  get size (): number {
    return this.#turns.size
  }

  take<T> (name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(name)
    const turn = before === undefined ? work() : before.then(work, work)
    this.#turns.set(name, turn)
    const end = (): void => { if (this.#turns.get(name) === turn) this.#turns.delete(name) }
    turn.then(end, end)
    return turn
  }
}

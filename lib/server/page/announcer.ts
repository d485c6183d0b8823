import { find, plural } from './dom.js'

// In ms: so often at most the number of messages is read out.
const PAUSE = 5_000

/** Tells those who listen to the page: what happens to a room at once, messages in sums, since nobody can listen to ten a second. */
export class Announcer {
  readonly #region = find('announcer', HTMLElement)
  readonly #messages = new Map<string, { count: number, last: string }>()
  #timer: ReturnType<typeof setTimeout> | undefined

  say (text: string): void {
    this.#region.textContent = text
  }

  message (room: string, text: string): void {
    const count = (this.#messages.get(room)?.count ?? 0) + 1
    this.#messages.set(room, { count, last: text })
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.say([...this.#messages].map(([room, { count, last }]) => count === 1 ? `${room}: ${last}` : `${plural(count, 'message')} in ${room}`).join('. '))
      this.#messages.clear()
    }, PAUSE)
  }
}

import type { Rooms } from '../rooms/rooms.js'

// Of one call.
const TOGETHER = 100

/** What a server says in one internal room: one call at a time, which takes along what came during the last. So the order holds on any broker, and a crowd costs a few calls. */
export class Outbox {
  readonly #rooms: Rooms
  readonly #room: string
  readonly #waiting: Array<{ text: string, settle: (error?: Error) => void }> = []
  #working = false

  constructor (rooms: Rooms, room: string) {
    this.#rooms = rooms
    this.#room = room
  }

  /** Resolves with what kept it from being said, where something did; it may have been heard all the same. Never rejects. */
  send (text: string): Promise<Error | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ text, settle: resolve })
      if (!this.#working) void this.#work()
    })
  }

  async #work (): Promise<void> {
    this.#working = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, TOGETHER)
      const results = await this.#rooms.publish(batch.map(({ text }) => ({ room: this.#room, text }))).catch((error: Error) => batch.map(() => error))
      for (const [i, { settle }] of batch.entries()) {
        const result = results[i]
        settle(result instanceof Error ? result : undefined)
      }
    }
    this.#working = false
  }
}

import type { RoomHost } from './room-host.js'
import type { Room } from './room.js'

// Rooms that are compared at once: the answer to each has a deadline, and the event loop others to serve.
const TOGETHER = 1_000

/** Holds the rooms that are in doubt against the broker, and goes on until none is left. */
export class Comparison {
  /** Whether the broker answered when it was last asked. */
  reachable = false
  readonly #host: RoomHost
  readonly #doubted = new Set<Room>()
  #comparing = false
  #closed = false

  constructor (host: RoomHost) {
    this.#host = host
  }

  doubt (rooms: Iterable<Room>): void {
    for (const room of rooms) this.#doubted.add(room)
    void this.#compare()
  }

  forget (room: Room): void {
    this.#doubted.delete(room)
  }

  close (): void {
    this.#closed = true
  }

  /** Asks the broker, once for all rooms in doubt, where they stand; each then repairs itself where it has to. */
  async #compare (): Promise<void> {
    if (this.#comparing) return
    this.#comparing = true
    while (this.#doubted.size > 0 && !this.#closed) {
      // A room that is joining or being repaired is compared afterwards: what it is reading may be older than the doubt.
      const rooms = [...this.#doubted].filter((room) => room.whole)
      for (const room of rooms) this.#doubted.delete(room)
      let answered = rooms.length > 0
      let done = 0
      for (; done < rooms.length && answered && !this.#closed; done += TOGETHER) answered = await this.#compareNow(rooms.slice(done, done + TOGETHER))
      for (const room of rooms.slice(done)) this.#doubted.add(room)
      if (!answered) await this.#host.retry()
    }
    this.#comparing = false
  }

  async #compareNow (rooms: readonly Room[]): Promise<boolean> {
    const asked = rooms.map((room) => ({ room: room.name, seen: room.position }))
    try {
      const tops = await this.#host.inTime(this.#host.broker.positions(asked))
      for (const [i, top] of tops.entries()) rooms[i]?.compare(asked[i]!.seen, top)
      this.reachable = true
    } catch (error) {
      this.#host.log.warn({ err: error }, 'fan-out: positions could not be compared with the broker, trying again')
      for (const room of rooms) if (!room.closed) this.#doubted.add(room)
      this.reachable = false
    }
    return this.reachable
  }
}

import type { Entry } from '../message.js'
import type { Room } from './room.js'
import type { Subscriber } from './subscriber.js'
import { Batch } from '../message.js'

/** A batch on its way to all who were live when it was closed. */
interface Round {
  number: number
  batch: Batch
  /** Who is still to be asked whether it is for them. */
  rest: IterableIterator<Subscriber> | undefined
  /** What each write takes from the budget. */
  cost: number
  /** It ends with a gap, and each subscriber is owed a snapshot after it. */
  owesSnapshot: boolean
}

// A write costs about as much again for so many bytes.
const BYTES = 16 * 1024

/**
 * The live end of a room: what came in one turn of the event loop is joined to one batch, and written to every live
 * subscriber at the end of that turn. Where they are very many it is done in slices, so that heartbeats, publishes and
 * other rooms have their turns in between. What comes meanwhile is the next round, which begins when this one is over; so
 * each subscriber is given every round in order, from the first that was not yet closed when it became live.
 */
export class Delivery {
  readonly #room: Room
  /** Came since the last round was closed. */
  #fresh: Entry[] = []
  /** The first of them may be half done. */
  readonly #rounds: Round[] = []
  /** How many rounds were closed. */
  #closed = 0

  constructor (room: Room) {
    this.#room = room
  }

  /** Whether there is more to flush. */
  get pending (): boolean {
    return this.#fresh.length > 0 || this.#rounds.length > 0
  }

  /** To be written at the end of this turn. */
  push (entry: Entry): void {
    this.#fresh.push(entry)
  }

  /** Makes what came so far a round of its own. */
  close (owesSnapshot = false): void {
    if (this.#fresh.length === 0) return
    const batch = new Batch(this.#room.name, this.#fresh)
    this.#rounds.push({ number: this.#closed++, batch, rest: undefined, cost: 1 + batch.size / BYTES, owesSnapshot })
    this.#fresh = []
  }

  /** Ends the round of what came so far; answers the number of the next, for a subscriber that has all of it. */
  next (): number {
    this.close()
    return this.#closed
  }

  /** Writes on, until `budget` writes (of a moderate size) are done; answers what is left of it. */
  flush (budget: number): number {
    if (this.#rounds.length === 0) this.close()
    for (let round = this.#rounds[0]; round !== undefined && budget > 0; round = this.#rounds[0]) {
      budget = this.#write(round, budget)
      if (budget > 0) this.#rounds.shift()
    }
    return budget
  }

  /** Answers more than 0 where the round is done. */
  #write (round: Round, budget: number): number {
    const { number, batch, cost, owesSnapshot } = round
    const rest = round.rest ??= this.#room.subscribers.values()
    // Not `for…of`, which ends the iterator where it is left.
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      const subscriber = next.value
      if (subscriber.liveFrom === undefined || subscriber.liveFrom > number) continue
      this.#room.counts.delivered += batch.entries.length
      if (!subscriber.write(batch, true) || owesSnapshot) {
        // It goes on at its own pace.
        subscriber.liveFrom = undefined
        subscriber.position = batch.end
        void this.#room.host.catchUp.run(this.#room, subscriber, owesSnapshot)
      }
      budget -= cost
      if (budget <= 0) return 0
    }
    return budget
  }
}

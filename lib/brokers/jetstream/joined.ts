import type { Scheduler } from '../../scheduler.js'
import type { StoredMessage } from '../broker.js'
import type { Msg, NatsConnection } from '../nats/connection.js'
import type { Subscription } from '../nats/subscription.js'
import type { Certainty } from './certainty.js'
import type { Keeper } from './keeper.js'
import type { Sequences } from './sequences.js'
import type { Names } from './stream.js'
import { headersOf } from '../nats/headers.js'
import { encodeRoom } from '../nats/subjects.js'
import { Live } from './live.js'

export interface JoinedRoomsOptions {
  connection: NatsConnection
  names: Names
  keeper: Keeper
  certainty: Certainty
  sequences: Sequences
  scheduler: Scheduler
  /** Takes what came live, in its turn. */
  hand: (room: string, stored: StoredMessage) => void
}

interface Joined { readonly subscription: Subscription, readonly live: Live }

/** The rooms that are subscribed to, and what comes live of them. */
export class JoinedRooms {
  readonly #options: JoinedRoomsOptions
  readonly #rooms = new Map<string, Joined>()

  constructor (options: JoinedRoomsOptions) {
    this.#options = options
  }

  live (room: string): Live | undefined {
    return this.#rooms.get(room)?.live
  }

  /** Resolves when NATS has the subscription. Where it does not by the deadline, the room is not subscribed to. */
  async join (room: string, deadline: number): Promise<Live> {
    let joined = this.#rooms.get(room)
    if (joined === undefined) this.#rooms.set(room, joined = this.#subscribe(room))
    const { live, subscription } = joined
    try {
      await subscription.confirmed(deadline)
    } catch (error) {
      if (this.#rooms.get(room) === joined) this.#rooms.delete(room)
      throw error
    }
    return live
  }

  leave (room: string): void {
    const joined = this.#rooms.get(room)
    this.#rooms.delete(room)
    joined?.subscription.unsubscribe()
  }

  #subscribe (room: string): Joined {
    const { connection, names, keeper, scheduler } = this.#options
    const joined: Joined = {
      live: new Live({ keeper, scheduler }),
      subscription: connection.subscribe(names.live(encodeRoom(room)), (message) => this.#take(room, joined, message))
    }
    return joined
  }

  #take (room: string, joined: Joined, message: Msg): void {
    const { keeper, certainty, sequences, hand } = this.#options
    const header = headersOf(message)
    const [sequence, before, messageId] = [Number(header('Nats-Sequence')), Number(header('Nats-Last-Sequence')), header('Nats-Msg-Id')]
    if (!sequences.follows(sequence, messageId)) certainty.doubt()
    certainty.take(() => {
      if (this.#rooms.get(room) !== joined) return
      keeper.see(sequence, messageId)
      const { doubts } = certainty
      // What waited for its turn while doubts came is of what was before.
      const isCurrent = (): boolean => this.#rooms.get(room) === joined && doubts === certainty.doubts
      joined.live.take({ message, sequence, before, messageId, isCurrent }, (stored) => hand(room, stored))
    })
  }
}

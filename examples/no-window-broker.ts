// examples/no-window-broker.ts, a broker of one's own: the smallest that keeps the promises of lib/brokers/broker.ts, for
// one process. It has no window, so whoever comes back is told a gap.
//
// own-broker.ts uses it, own-broker.test.ts holds it to the contract of brokers. Outside of this repository import from
// 'fastify-fan-out'.
import type { Broker, BrokerEvents, Cursor, Outgoing, Published, ReadRequest, Window } from '../index.js'
import { randomInt } from 'node:crypto'

export class NoWindowBroker implements Broker {
  readonly windowless = true
  // Drawn anew at each start: a cursor of another run is of another history.
  readonly #epoch = randomInt(1, 2 ** 48 - 1)
  /** Where each room stands that is subscribed to. */
  readonly #rooms = new Map<string, Cursor>()
  // One count for all rooms: no position comes twice, though nothing is remembered of a room that was left.
  #offset = 0
  #events: BrokerEvents | undefined

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
  }

  async subscribe (room: string): Promise<Cursor> {
    const position = this.#rooms.get(room) ?? this.#next()
    this.#rooms.set(room, position)
    return position
  }

  async unsubscribe (room: string): Promise<void> {
    this.#rooms.delete(room)
  }

  // It remembers no keys: a publish with one is published as often as it comes.
  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return messages.map(({ room, text }) => {
      if (this.#events === undefined) return new Error('the broker is closed')
      const previous = this.#rooms.get(room)
      const id = this.#next()
      if (previous !== undefined) {
        this.#rooms.set(room, id)
        // Never from within a call.
        queueMicrotask(() => {
          if (this.#rooms.has(room)) this.#events?.message(room, { type: 'message', id, previous, text })
        })
      }
      return { id, duplicate: false }
    })
  }

  async read (room: string, { since }: ReadRequest): Promise<Window> {
    const position = this.#stand(room)
    return { entries: since === undefined ? [] : [{ type: 'gap', id: position, reason: 'expired' }], start: position, position, more: false }
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    return rooms.map(({ room }) => this.#stand(room))
  }

  async close (): Promise<void> {
    this.#events = undefined
  }

  #stand (room: string): Cursor {
    return this.#rooms.get(room) ?? { epoch: this.#epoch, offset: this.#offset }
  }

  #next (): Cursor {
    return { epoch: this.#epoch, offset: ++this.#offset }
  }
}

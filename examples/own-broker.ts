// A broker of one's own: the smallest that keeps the promises of lib/brokers/broker.ts. It has no window, so every
// reconnect that missed something is told by a gap.
//
//   node --import=tsx examples/own-broker.ts
//
// One sees a message come through it, and a resume that missed one be told so. Outside of this repository import from
// 'fastify-fan-out'.
import { randomInt } from 'node:crypto'
import Fastify from 'fastify'
import fanOut from '../index.js'
import type { Broker, BrokerEvents, Cursor, Outgoing, Published, ReadRequest, RoomEvent, Subscription, Window } from '../index.js'

class NoWindowBroker implements Broker {
  // Drawn anew at each start: a cursor of another run is of another history.
  readonly #epoch = randomInt(1, 2 ** 48 - 1)
  readonly #tops = new Map<string, number>()
  readonly #subscribed = new Set<string>()
  #events: BrokerEvents | undefined

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
  }

  async subscribe (room: string): Promise<Cursor> {
    this.#subscribed.add(room)
    return this.#top(room)
  }

  async unsubscribe (room: string): Promise<void> {
    this.#subscribed.delete(room)
  }

  // It remembers no keys: a publish with one is published as often as it comes.
  async publish (messages: readonly Outgoing[]): Promise<Published[]> {
    return messages.map(({ room, text }) => {
      const previous = this.#top(room)
      const id = { epoch: this.#epoch, offset: previous.offset + 1 }
      this.#tops.set(room, id.offset)
      // Never from within a call.
      queueMicrotask(() => {
        if (this.#subscribed.has(room)) this.#events?.message(room, { type: 'message', id, previous, text })
      })
      return { id, duplicate: false }
    })
  }

  async read (room: string, { since }: ReadRequest): Promise<Window> {
    const position = this.#top(room)
    const missed = since !== undefined && (since.epoch !== position.epoch || since.offset !== position.offset)
    const reason = since?.epoch === this.#epoch ? 'expired' : 'epoch'
    return { entries: missed ? [{ type: 'gap', id: position, reason }] : [], start: position, position, more: false }
  }

  async positions (rooms: ReadonlyArray<{ room: string }>): Promise<Cursor[]> {
    return rooms.map(({ room }) => this.#top(room))
  }

  async close (): Promise<void> {
    this.#events = undefined
  }

  #top (room: string): Cursor {
    return { epoch: this.#epoch, offset: this.#tops.get(room) ?? 0 }
  }
}

const app = Fastify()
await app.register(fanOut, { broker: new NoWindowBroker() })
await app.ready()

// The next event of a room.
function next (room: string, since?: string): { event: Promise<RoomEvent>, subscription: Promise<Subscription> } {
  let resolve!: (event: RoomEvent) => void
  const event = new Promise<RoomEvent>((_resolve) => { resolve = _resolve })
  return { event, subscription: app.rooms.subscribe(room, since === undefined ? {} : { since }, resolve) }
}

const live = next('news')
await live.subscription
await app.rooms.publish('news', 'hello')
console.log('live', JSON.stringify(await live.event))

// Nobody is in this room while it is published to, so nobody remembers its messages.
const first = await app.rooms.publish('quiet', 1)
await app.rooms.publish('quiet', 2)
const resumed = next('quiet', first.id)
console.log('recovered', (await resumed.subscription).recovered)
console.log('told', JSON.stringify(await resumed.event))

await app.close()

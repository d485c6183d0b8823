import type { Broker } from '../../index.js'
import { MemoryBroker } from '../../lib/brokers/memory.js'

/** A broker of the app's own: the memory broker, with methods of the test's in place of some. */
export function ownBroker (replace: (inner: Broker) => Partial<Broker> = () => ({})): Broker {
  const inner: Broker = new MemoryBroker({ history: { size: 1_000, maxAge: 60_000, bytes: 2 ** 22 }, idempotencyTtl: 60_000 })
  const broker: Broker = {
    start: async (events) => await inner.start(events),
    subscribe: async (room) => await inner.subscribe(room),
    unsubscribe: async (room) => await inner.unsubscribe(room),
    publish: async (messages) => await inner.publish(messages),
    read: async (room, request) => await inner.read(room, request),
    positions: async (rooms) => await inner.positions(rooms),
    close: async () => await inner.close()
  }
  return Object.assign(broker, replace(inner))
}

/** Rooms of the servers among themselves: a test that counts or holds up a broker's calls leaves them alone. */
export function isInternal (room: string): boolean {
  return room.startsWith('\u0001')
}

/** Holds up whoever passes, until it is opened. */
export class Barrier {
  waiting = 0
  open!: () => void
  readonly #opened = new Promise<void>((resolve) => { this.open = resolve })

  async pass (): Promise<void> {
    this.waiting++
    await this.#opened
    this.waiting--
  }
}

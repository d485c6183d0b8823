import type { Broker, BrokerEvents, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import type { ContractOptions } from '../contract.js'
import { MemoryBroker } from '../../../lib/brokers/memory.js'

export const REFUSED = '"refused"'

/** The rooms that the servers of one test stand on. */
export class Hub {
  readonly memory: MemoryBroker
  readonly servers = new Set<Sound>()
  readonly #started: Promise<void>

  constructor (size: number, idempotencyTtl: number) {
    this.memory = new MemoryBroker({ history: { size, maxAge: 300_000, bytes: 16 * 1024 * 1024 }, idempotencyTtl })
    this.#started = this.memory.start({
      message: (room, message) => { for (const server of this.servers) server.deliver(room, message as StoredMessage) },
      doubt: () => {}
    })
  }

  async add (server: Sound): Promise<void> {
    this.servers.add(server)
    await this.#started
  }
}

/** A broker that keeps the contract, for several servers of one process. What breaks it extends it. */
export class Sound implements Broker {
  readonly hub: Hub
  readonly rooms = new Set<string>()
  events: BrokerEvents | undefined

  constructor (hub: Hub) {
    this.hub = hub
  }

  async start (events: BrokerEvents): Promise<void> {
    this.events = events
    await this.hub.add(this)
  }

  async subscribe (room: string): Promise<Cursor> {
    this.rooms.add(room)
    return await this.hub.memory.subscribe(room)
  }

  async unsubscribe (room: string): Promise<void> {
    this.rooms.delete(room)
    if (![...this.hub.servers].some(({ rooms }) => rooms.has(room))) await this.hub.memory.unsubscribe(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    if (this.events === undefined) return messages.map(() => new Error('closed'))
    const good = messages.filter(({ text }) => text !== REFUSED)
    const results = await this.hub.memory.publish(good)
    return messages.map(({ text }) => text === REFUSED ? new Error('refused') : results.shift() as Published | Error)
  }

  async read (room: string, request: ReadRequest): Promise<Window> {
    return await this.hub.memory.read(room, request)
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    return await this.hub.memory.positions(rooms)
  }

  async close (): Promise<void> {
    this.events = undefined
    this.hub.servers.delete(this)
    if (this.hub.servers.size === 0) await this.hub.memory.close()
  }

  deliver (room: string, message: StoredMessage): void {
    if (this.rooms.has(room)) this.events?.message(room, message)
  }
}

/** All that are made in one test share a hub. */
export function createOf (Class: new (hub: Hub) => Broker): ContractOptions['create'] {
  const hubs = new WeakMap<object, Hub>()
  return (t, { size, idempotencyTtl }) => {
    if (!hubs.has(t)) hubs.set(t, new Hub(size, idempotencyTtl))
    return new Class(hubs.get(t) as Hub)
  }
}

/** Brokers by what is wrong with them, and the tests that must say so, by how their titles begin. */
export type Mutants = Record<string, { tests: string[], broker: new (hub: Hub) => Broker }>

export function bitten (tests: string[], broker: new (hub: Hub) => Broker): Mutants[string] {
  return { tests, broker }
}

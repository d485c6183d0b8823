import type { Test } from 'tap'
import type { Broker, Outgoing, Published, StoredMessage, Window } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import { randomUUID } from 'node:crypto'

export interface ContractOptions {
  /** Of the broker, as it stands in the tests' names. */
  name: string
  /** A broker that is not started. All that are made with the same `t` must stand on the same rooms, unless `alone`. */
  create (t: Test, options: Wishes): Broker | Promise<Broker>
  /** It is the only one of its rooms: none is shared between two that are created. */
  alone?: boolean
  /** False where it keeps no messages: every `since` is answered by a gap. */
  window?: boolean
  /** False where it remembers no keys. */
  keys?: boolean
  /** An entry that the broker refuses, where there is one. */
  refused?: Omit<Outgoing, 'room'>
}

/** What a test asks of the broker it wants. */
export interface Wishes {
  /** Messages that the window of a room should be bounded by; a few more may be retained. */
  size: number
  /** How long a key is remembered, in ms. */
  idempotencyTtl: number
}

/** A started broker with what it told, closed at the end of the test. */
export class Server {
  readonly broker: Broker
  readonly received: Array<{ room: string, message: StoredMessage }> = []
  /** Raised while a method of the broker is called: events must not come then. */
  calling = false

  constructor (broker: Broker) {
    this.broker = broker
  }

  static async start (t: Test, { create }: ContractOptions, wishes: Partial<Wishes> = {}): Promise<Server> {
    const server = new Server(await create(t, { size: 100, idempotencyTtl: 60_000, ...wishes }))
    t.teardown(() => server.broker.close())
    await server.broker.start({
      message: (room, message) => {
        if (server.calling) t.fail('an event came from within a call')
        server.received.push({ room, message })
      },
      doubt: () => {}
    })
    return server
  }

  of (room: string): StoredMessage[] {
    return this.received.filter((entry) => entry.room === room).map(({ message }) => message)
  }

  /** Calls a method, looking out for events that come from within it. */
  call<T> (method: (broker: Broker) => T): T {
    this.calling = true
    try {
      return method(this.broker)
    } finally {
      this.calling = false
    }
  }

  /** Publishes texts one by one, and answers their ids. */
  async publish (room: string, ...texts: string[]): Promise<Cursor[]> {
    const ids: Cursor[] = []
    for (const text of texts) ids.push(...accepted(await this.broker.publish([{ room, text }])).map(({ id }) => id))
    return ids
  }

  /** So many messages of the room have come, and time for more. */
  async heard (room: string, count: number): Promise<StoredMessage[]> {
    await until(() => this.of(room).length >= count, `${count} messages of ${room}`)
    await pause()
    return this.of(room)
  }
}

/** The results, all of which must be good. */
export function accepted (results: Array<Published | Error>): Published[] {
  return results.map((result) => {
    if (result instanceof Error) throw result
    return result
  })
}

export function newRoom (): string {
  return `contract:${randomUUID()}`
}

export function texts (window: Window): string[] {
  return window.entries.map((entry) => entry.type === 'gap' ? entry.reason : entry.text)
}

/** Long enough for what is on its way to come. */
export async function pause (delay = 50): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, delay))
}

export async function until (condition: () => boolean | Promise<boolean>, what: string, timeout = 10_000): Promise<void> {
  const deadline = performance.now() + timeout
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${timeout} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Whether each message follows the one before it, the first of them `start`. */
export function chain (t: Test, start: Cursor, messages: readonly StoredMessage[]): void {
  let position = start
  for (const { id, previous } of messages) {
    if (previous.epoch !== position.epoch || previous.offset !== position.offset) t.same(previous, position, 'previous is the position before')
    if (id.offset <= position.offset) t.fail(`offset ${id.offset} does not grow over ${position.offset}`)
    position = id
  }
  t.pass('one chain')
}

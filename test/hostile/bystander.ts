import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { MemoryBroker } from '../../lib/brokers/memory.js'
import { connect, newRoom, openStream, until } from '../helpers.js'

/** Clients who have done nothing wrong: whatever others do to the server, they get their messages, in order, once. */
export class Bystander {
  readonly #app: FastifyInstance
  readonly #room: string
  readonly #records: Array<() => unknown[]>
  readonly #timer: NodeJS.Timeout
  readonly #publishing: Array<Promise<unknown>> = []
  readonly #end: () => Promise<unknown>
  #published = 0

  private constructor (app: FastifyInstance, room: string, records: Array<() => unknown[]>, end: () => Promise<unknown>) {
    this.#app = app
    this.#end = end
    this.#room = room
    this.#records = records
    this.#timer = setInterval(() => this.publish(), 10)
  }

  static async start (t: Test, app: FastifyInstance, url: string): Promise<Bystander> {
    const room = newRoom()
    const client = await connect(t, url, `/rooms?room=${room}`)
    await client.frame({ type: 'subscribed' })
    const stream = await openStream(t, `${url}/rooms/${room}/events`)
    await stream.event({ event: 'subscribed' })
    const bystander = new Bystander(app, room, [
      () => client.frames.slice(2).map(({ type, data }) => type === 'message' ? data : type),
      () => stream.events.slice(1).map(({ event, data }) => event === 'message' ? JSON.parse(data) : event)
    ], async () => {
      stream.close()
      client.websocket.close()
      await client.close()
    })
    t.teardown(() => clearInterval(bystander.#timer))
    return bystander
  }

  publish (): void {
    this.#publishing.push(this.#app.rooms.publish(this.#room, this.#published++))
  }

  /** Ends the publishing, and proves that each of its clients has received all of it. */
  async prove (t: Test): Promise<void> {
    clearInterval(this.#timer)
    this.publish()
    await Promise.all(this.#publishing)
    const all = Array.from({ length: this.#published }, (_, i) => i)
    for (const record of this.#records) {
      await until(() => record().length >= all.length, 'the messages of a bystander')
      t.same(record(), all, `${all.length} messages reached the bystander, in order, once`)
    }
  }

  /** Takes its clients away, once all is proved. */
  async end (): Promise<void> {
    await this.#end()
  }
}

/**
 * What the server holds now; a function that waits until it holds no more than that, but for the rooms published to
 * since, which the broker remembers on purpose.
 */
export function holdings (app: FastifyInstance, broker?: MemoryBroker): (t: Test, since?: { published?: number, keys?: number }) => Promise<void> {
  const count = (published = 0, keys = 0): object => {
    const { rooms, subscriptions, connections } = app.rooms.stats()
    const { size } = broker ?? {}
    return { rooms, subscriptions, connections, remembered: size && { rooms: size.rooms - published, keys: size.keys - keys } }
  }
  const before = count()
  return async (t, { published, keys } = {}) => {
    await until(() => JSON.stringify(count(published, keys)) === JSON.stringify(before), JSON.stringify(before), 6_000).catch(() => {})
    t.same(count(published, keys), before, 'nothing else is left')
  }
}

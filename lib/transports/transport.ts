import type { FastifyRequest } from 'fastify'
import type { FanOutError } from '../errors.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { errors, retryAfter } from '../errors.js'

/** One client's connection, whatever it speaks. */
export interface Connection {
  readonly id: string
  readonly kind: 'websocket' | 'events'
  /** The address it counts against, where there is one. */
  readonly address: string | undefined
  /** Who it was found to be. */
  readonly user: string | undefined
  /** Called about once a second: deadlines are kept here, so that no connection has a timer of its own. */
  tick (now: number): void
  /** Takes it out of a room, telling it why. */
  removeFrom (room: string, reason: string): void
  /** Tells it why, and closes it; what does not close by itself is destroyed soon. */
  close (error: FanOutError): void
  destroy (): void
}

interface Limits { connections: number, connectionsPerAddress?: number }

const TICK = 1_000

/** All the connections of this server: their number, their clock, and their end. */
export class Connections {
  readonly #limits: Limits
  readonly #all = new Set<Connection>()
  readonly #byAddress = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  readonly counts = { websocket: 0, events: 0 }
  /** How many were closed for being too slow. */
  slow = 0
  #draining = false
  #drained: Array<() => void> = []

  constructor (limits: Limits) {
    this.#limits = limits
    this.#timer = setInterval(() => {
      const now = performance.now()
      for (const connection of this.#all) connection.tick(now)
    }, TICK)
    this.#timer.unref()
  }

  get draining (): boolean {
    return this.#draining
  }

  /** The address that a connection counts against, where there is a limit for each: to find it out is a system call. */
  addressOf (request: FastifyRequest): string | undefined {
    return this.#limits.connectionsPerAddress === undefined || request.raw.socket === undefined ? undefined : request.ip
  }

  /** Why a connection from this address cannot be taken now, if it cannot. */
  refusal (address: string | undefined): FanOutError | undefined {
    if (this.#draining) return retryAfter(new errors.Closing())
    const { connections, connectionsPerAddress = Infinity } = this.#limits
    if (this.#all.size >= connections) return retryAfter(new errors.ServerFull(), 5)
    if (address !== undefined && (this.#byAddress.get(address) ?? 0) >= connectionsPerAddress) return retryAfter(new errors.TooManyConnections(), 5)
    return undefined
  }

  add (connection: Connection): void {
    this.#all.add(connection)
    this.counts[connection.kind]++
    this.#count(connection.address, 1)
  }

  remove (connection: Connection): void {
    if (!this.#all.delete(connection)) return
    this.counts[connection.kind]--
    this.#count(connection.address, -1)
    if (this.#all.size === 0) for (const resolve of this.#drained.splice(0)) resolve()
  }

  matching (filter: { user?: string, connection?: string }): Connection[] {
    return [...this.#all].filter(({ id, user }) =>
      (filter.user !== undefined || filter.connection !== undefined) &&
      (filter.user === undefined || filter.user === user) && (filter.connection === undefined || filter.connection === id))
  }

  /**
   * Takes no new connection, and sends all away, evenly over `over` ms. `sent` resolves when all were told; `gone` when
   * all have left, those that have not within another `timeout` ms being destroyed.
   */
  drain (over: number, timeout: number): { sent: Promise<void>, gone: Promise<void> } {
    this.#draining = true
    const gone = new Promise<void>((resolve) => {
      if (this.#all.size === 0) resolve()
      else this.#drained.push(resolve)
    })
    const sent = this.#sendAway(over).then(() => {
      const deadline = setTimeout(() => {
        for (const connection of [...this.#all]) connection.destroy()
      }, timeout)
      void gone.then(() => clearTimeout(deadline))
    })
    return { sent, gone }
  }

  async #sendAway (over: number): Promise<void> {
    const all = [...this.#all]
    const start = performance.now()
    for (let sent = 0; sent < all.length && this.#all.size > 0;) {
      const elapsed = performance.now() - start
      const due = elapsed >= over ? all.length : Math.floor(all.length * elapsed / over)
      for (; sent < due; sent++) all[sent]?.close(new errors.Closing())
      if (sent < all.length) await sleep(50)
    }
  }

  stop (): void {
    clearInterval(this.#timer)
  }

  #count (address: string | undefined, change: number): void {
    if (address === undefined || this.#limits.connectionsPerAddress === undefined) return
    const count = (this.#byAddress.get(address) ?? 0) + change
    if (count === 0) this.#byAddress.delete(address)
    else this.#byAddress.set(address, count)
  }
}

import type { Scheduler } from '../../scheduler.js'
import type { RedisClient } from './client.js'
import { errors, retryAfter } from '../../errors.js'
import { Turns } from '../turns.js'
import { Connection } from './connection.js'
import { Gathering } from './gathering.js'

export interface LiveEvents {
  message (room: string, payload: string): void
  /** The link was broken, and is whole again: these rooms' channels are subscribed to. */
  mended (rooms: readonly string[]): void
  /** On a Cluster: Redis has sent us away from some channels, whose slots are served by another node. */
  moved? (): void
  /** The link is broken, or on a Cluster could not be mended. */
  broken? (): void
}

/** Where the live messages come from: one connection (`Live`), or on a Cluster one to each node that is needed (`ShardedLive`). */
export interface LiveLink {
  open (): void
  close (): void
  /** Whether the channel is subscribed to, or is to be. */
  wants (channel: string): boolean
  /** Resolves once every message of the room comes, on this channel; rejects after `deadline`. */
  subscribe (room: string, channel: string, deadline: number): Promise<void>
  unsubscribe (channel: string): Promise<void>
  /** Resolves when every channel is subscribed to; rejects after `deadline`. */
  untilWhole (deadline: number): Promise<void>
}

// Channels that are subscribed to at once, and the pause before what was refused is tried again, in ms.
const TOGETHER = 500
const AGAIN = 500
const TIMEOUT = 2_000

/**
 * The live link: a connection for subscriptions alone, since Redis closes one that falls behind, whatever else it
 * carries. After every loss it subscribes to all channels again, and only when that is done says so.
 */
export class Live implements LiveLink {
  readonly #connection: Connection
  readonly #client: RedisClient
  readonly #scheduler: Scheduler
  readonly #events: LiveEvents
  readonly #sharded: boolean
  /** The channels that are subscribed to, or are to be, and the rooms they are of. */
  readonly #wanted = new Map<string, string>()
  readonly #turns = new Turns()
  readonly #asks: Gathering<string, unknown>
  #whole = false
  readonly #waiting = new Set<() => void>()
  #mending = 0
  #closed = false

  /** `sharded`: the channels of a Cluster's node, which come and go with its slots. */
  constructor (client: RedisClient, scheduler: Scheduler, events: LiveEvents, sharded = false) {
    this.#connection = new Connection(client, scheduler)
    this.#client = client
    this.#scheduler = scheduler
    this.#events = events
    this.#sharded = sharded
    // Shards take one channel of a slot with another only where both are theirs.
    this.#asks = new Gathering(scheduler, sharded ? 1 : TOGETHER, (channels) => this.#subscribe(channels))
    client.on(sharded ? 'smessage' : 'message', (channel: string, payload: string) => {
      const room = this.#wanted.get(channel)
      if (room !== undefined) events.message(room, payload)
    })
    client.on('ready', () => { void this.#mend() })
    client.on('close', () => {
      this.#whole = false
      events.broken?.()
    })
    client.on('moved', () => events.moved?.())
  }

  wants (channel: string): boolean {
    return this.#wanted.has(channel)
  }

  /** Whether it carries nothing, and nobody waits for it to. */
  get idle (): boolean {
    return this.#wanted.size === 0 && this.#turns.size === 0
  }

  open (): void {
    this.#connection.open()
  }

  close (): void {
    this.#closed = true
    this.#wake()
    this.#connection.close()
  }

  subscribe (room: string, channel: string, deadline: number): Promise<void> {
    return this.#turns.take(channel, async () => {
      this.#wanted.set(channel, room)
      try {
        for (;;) {
          if (!this.#whole || this.#closed) await this.untilWhole(deadline)
          const mending = this.#mending
          try {
            await this.#asks.add(channel)
            if (this.#whole && mending === this.#mending) return
          } catch (error) {
            if (isMoved(error)) throw error
            if ((error as Error).name === 'ReplyError') throw retryAfter(new errors.BrokerAway(`Redis refuses: ${(error as Error).message}`))
            if (this.#scheduler.now() >= deadline) throw this.#connection.away((error as Error).message)
            await this.#connection.sleep(20)
          }
        }
      } catch (error) {
        this.#wanted.delete(channel)
        throw error
      }
    })
  }

  unsubscribe (channel: string): Promise<void> {
    return this.#turns.take(channel, async () => {
      this.#wanted.delete(channel)
      if (!this.#connection.ready) return
      this.#connection.gather()
      const left = this.#sharded ? this.#client.sunsubscribe(channel) : this.#client.unsubscribe(channel)
      await this.#connection.answer(left, TIMEOUT).catch(() => {})
    })
  }

  async #subscribe (channels: readonly string[]): Promise<Array<Error | undefined>> {
    this.#connection.gather()
    try {
      await this.#connection.answer(this.#sharded ? this.#client.ssubscribe(...channels) : this.#client.subscribe(...channels), TIMEOUT)
      return []
    } catch (error) {
      if (channels.length === 1 || (error as Error).name !== 'ReplyError') throw error
      // One that is refused takes the others with it.
      const asked = await Promise.all(channels.map(async (channel) => await this.#subscribe([channel]).catch((error: Error) => [error])))
      return asked.map(([error]) => error)
    }
  }

  async #mend (): Promise<void> {
    const mending = ++this.#mending
    while (mending === this.#mending && this.#connection.ready && !this.#closed) {
      try {
        const wanted = [...this.#wanted]
        const mended: string[] = []
        for (let i = 0; i < wanted.length; i += TOGETHER) {
          await Promise.all(wanted.slice(i, i + TOGETHER).filter(([channel]) => this.#wanted.has(channel)).map(async ([channel, room]) => {
            await this.#asks.add(channel).then(() => mended.push(room), (error: unknown) => {
              if (!isMoved(error)) throw error
              this.#wanted.delete(channel)
              this.#events.moved?.()
            })
          }))
        }
        if (mending !== this.#mending || !this.#connection.ready) return
        this.#whole = true
        this.#wake()
        this.#events.mended(mended)
        return
      } catch {
        // Cut off again, or refused (a right that was taken away): what is quiet is compared meanwhile.
        await this.#connection.sleep(AGAIN)
      }
    }
  }

  async untilWhole (deadline: number): Promise<void> {
    while (!this.#whole || this.#closed) {
      const left = deadline - this.#scheduler.now()
      if (left <= 0 || this.#closed) throw this.#connection.away('its live link was not there in time')
      await new Promise<void>((resolve) => {
        const end = (): void => {
          cancel()
          this.#waiting.delete(end)
          resolve()
        }
        const cancel = this.#scheduler.after(left, end)
        this.#waiting.add(end)
      })
    }
  }

  #wake (): void {
    for (const wake of [...this.#waiting]) wake()
  }
}

/** Another node serves the slot of a channel. */
export function isMoved (error: unknown): boolean {
  return /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) ?/.test((error as Error).message)
}

import type { Scheduler } from '../../scheduler.js'
import type { RedisClient } from './connection.js'
import { errors, retryAfter } from '../../errors.js'
import { Connection } from './connection.js'

export interface LiveEvents {
  message (room: string, payload: string): void
  /** The link was broken, and is whole again: all channels are subscribed to. */
  mended (): void
}

// Channels in one SUBSCRIBE, and the pause before what was refused is tried again, in ms.
const TOGETHER = 500
const AGAIN = 500
const TIMEOUT = 2_000

/**
 * The live link: a connection for subscriptions alone, since Redis closes one that falls behind, whatever else it
 * carries. After every loss it subscribes to all channels again, and only when that is done says so.
 */
export class Live {
  readonly #connection: Connection
  readonly #client: RedisClient
  readonly #scheduler: Scheduler
  readonly #events: LiveEvents
  /** The channels that are subscribed to, or are to be, and the rooms they are of. */
  readonly #wanted = new Map<string, string>()
  /** Calls for one channel are obeyed one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>()
  #whole = false
  #waiting: Array<() => void> = []
  #mending = 0
  #closed = false

  constructor (client: RedisClient, scheduler: Scheduler, events: LiveEvents) {
    this.#connection = new Connection(client, true, scheduler)
    this.#client = client
    this.#scheduler = scheduler
    this.#events = events
    client.on('message', (channel: string, payload: string) => {
      const room = this.#wanted.get(channel)
      if (room !== undefined) events.message(room, payload)
    })
    client.on('ready', () => { void this.#mend() })
    client.on('close', () => { this.#whole = false })
  }

  wants (channel: string): boolean {
    return this.#wanted.has(channel)
  }

  open (): void {
    this.#connection.open()
  }

  close (): void {
    this.#closed = true
    this.#wake()
    this.#connection.close()
  }

  /** Resolves once every message of the room comes, on this channel; rejects after `deadline`. */
  subscribe (room: string, channel: string, deadline: number): Promise<void> {
    return this.#inTurn(channel, async () => {
      this.#wanted.set(channel, room)
      try {
        for (;;) {
          await this.untilWhole(deadline)
          const mending = this.#mending
          try {
            await this.#connection.answer(this.#client.subscribe(channel), TIMEOUT)
            if (this.#whole && mending === this.#mending) return
          } catch (error) {
            if ((error as Error).name === 'ReplyError') throw retryAfter(new errors.BrokerAway(`Redis refuses: ${(error as Error).message}`))
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
    return this.#inTurn(channel, async () => {
      this.#wanted.delete(channel)
      if (this.#connection.ready) await this.#connection.answer(this.#client.unsubscribe(channel), TIMEOUT).catch(() => {})
    })
  }

  #inTurn<T> (channel: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(channel) ?? Promise.resolve()).then(work, work)
    this.#turns.set(channel, turn)
    const end = (): void => { if (this.#turns.get(channel) === turn) this.#turns.delete(channel) }
    turn.then(end, end)
    return turn
  }

  async #mend (): Promise<void> {
    const mending = ++this.#mending
    while (mending === this.#mending && this.#connection.ready && !this.#closed) {
      try {
        const channels = [...this.#wanted.keys()]
        for (let i = 0; i < channels.length; i += TOGETHER) await this.#connection.answer(this.#client.subscribe(...channels.slice(i, i + TOGETHER)), TIMEOUT)
        if (mending !== this.#mending || !this.#connection.ready) return
        this.#whole = true
        this.#wake()
        this.#events.mended()
        return
      } catch {
        // Cut off again, or refused (a right that was taken away): what is quiet is compared meanwhile.
        await this.#connection.sleep(AGAIN)
      }
    }
  }

  /** Resolves when every channel is subscribed to; rejects after `deadline`. */
  async untilWhole (deadline: number): Promise<void> {
    while (!this.#whole || this.#closed) {
      const left = deadline - this.#scheduler.now()
      if (left <= 0 || this.#closed) throw retryAfter(new errors.BrokerAway('its live link was not there in time'))
      await new Promise<void>((resolve) => {
        const cancel = this.#scheduler.after(left, resolve)
        this.#waiting.push(() => {
          cancel()
          resolve()
        })
      })
    }
  }

  #wake (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}

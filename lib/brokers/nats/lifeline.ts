import type { NatsConnection as Client } from '@nats-io/transport-node'
import type { Scheduler } from '../../scheduler.js'
import type { NatsOptions } from './url.js'
import { Deadlines } from '../../deadlines.js'
import { errors, retryAfter } from '../../errors.js'
import { Dialer } from './dial.js'

// In ms. The link is asked every `PING` whether it is there, and given up where it has not answered for `SILENCE`.
const PING = 1_000
const SILENCE = 2_000
// Between rounds of connects, jittered: the first, growing to the last.
const PAUSE = 50
const LONGEST_PAUSE = 800

export interface LifelineEvents {
  /** There is a link. */
  linked (client: Client): void
  /** It broke, or was given up, or closed. */
  lost (): void
}

/** A link to NATS, by one client after the other: the next is made when the last has ended, without limit, or was given up as silent. */
export class Lifeline {
  readonly #scheduler: Scheduler
  readonly #events: LifelineEvents
  readonly #dialer: Dialer
  readonly #silences: Deadlines
  readonly #wakes = new Set<() => void>()
  #client: Client | undefined
  #opened = false
  #closed = false
  /** Why there is no link, or why it is not whole. */
  trouble: Error | undefined

  constructor (options: NatsOptions, scheduler: Scheduler, events: LifelineEvents, name: string) {
    this.#scheduler = scheduler
    this.#events = events
    this.#dialer = new Dialer(options, scheduler, name)
    this.#silences = new Deadlines(SILENCE, scheduler)
  }

  /** While there is a link. */
  get client (): Client | undefined {
    return this.#client
  }

  get closed (): boolean {
    return this.#closed
  }

  /** Connects, once for all. */
  open (): void {
    if (this.#opened) return
    this.#opened = true
    void this.#keepConnected()
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#dialer.close()
    const client = this.#client
    this.#lose(client, new Error('it is closed'))
    this.wake()
    await client?.close()
  }

  /** Resolves while there is a link, or rejects after `deadline`. */
  async reach (deadline: number): Promise<Client> {
    while (this.#client === undefined) await this.until(() => this.#client !== undefined, deadline, () => 'it was not reached in time')
    return this.#client
  }

  /** Resolves when `condition` holds, which is looked at whenever it is woken; rejects with what that throws, and, as `why` says, after `deadline`. */
  async until (condition: () => boolean, deadline: number, why: () => string): Promise<void> {
    while (!condition()) {
      const left = deadline - this.#scheduler.now()
      if (left <= 0 || this.#closed) throw this.away(why())
      await this.sleep(left)
    }
  }

  /** Waits for `delay` ms, or until something has changed (and `enough`). */
  async sleep (delay: number, enough = () => true): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel()
        this.#wakes.delete(wake)
        resolve()
      }
      const wake = (): void => { if (enough()) end() }
      const cancel = this.#scheduler.after(delay, end)
      this.#wakes.add(wake)
    })
  }

  wake (): void {
    for (const wake of [...this.#wakes]) wake()
  }

  /** The error for whoever waited in vain; what was wrong with the link is its cause, and no affair of clients. */
  away (why: string): Error {
    return Object.assign(retryAfter(new errors.BrokerAway(why)), this.trouble !== undefined && { cause: this.trouble })
  }

  async #keepConnected (): Promise<void> {
    for (let failures = 0; !this.#closed;) {
      try {
        await this.#serve(await this.#dialer.next())
        failures = 0
      } catch (error) {
        this.trouble = error as Error
        failures++
        this.wake()
      }
      // The next of several is tried at once.
      if (failures % this.#dialer.size !== 0) continue
      const pause = Math.min(PAUSE * 2 ** (failures / this.#dialer.size), LONGEST_PAUSE)
      await this.sleep(pause * (0.5 + this.#scheduler.random()), () => this.#closed)
    }
  }

  /** Resolves when the link is broken. */
  async #serve (client: Client): Promise<void> {
    if (this.#closed) return await client.close()
    this.#client = client
    this.trouble = undefined
    this.#events.linked(client)
    this.wake()
    const stopPinging = this.#pingLater(client)
    this.#lose(client, (await client.closed() as Error | undefined) ?? new Error('the link broke'))
    stopPinging()
  }

  #pingLater (client: Client): () => void {
    let cancel: () => void
    const ping = (): void => {
      if (client.info !== undefined) this.#dialer.learn(client.info)
      const before = client.stats().inBytes
      this.#silences.race(client.flush(), () => new Error(`no answer within ${SILENCE} ms`)).catch((error: Error) => {
        // Its answer waits behind all that comes meanwhile; the next ping will tell.
        if (client.stats().inBytes === before) this.#lose(client, error)
      })
      cancel = this.#scheduler.after(PING, ping)
    }
    cancel = this.#scheduler.after(PING, ping)
    return () => cancel()
  }

  /** The link is no more, or is given up: nobody waits for the other side. */
  #lose (client: Client | undefined, error: Error): void {
    if (client === undefined || this.#client !== client) return
    this.#client = undefined
    this.trouble = error
    this.#events.lost()
    void client.close()
    this.wake()
  }
}

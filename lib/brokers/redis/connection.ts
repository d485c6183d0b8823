import type { Scheduler } from '../../scheduler.js'
import { errors, retryAfter } from '../../errors.js'

export interface RedisPipeline {
  evalsha (sha: string, keys: number, ...args: Array<string | number>): unknown
  wait (replicas: number, timeout: number): unknown
  exec (): Promise<Array<[error: Error | null, reply?: unknown]> | null>
}

/** What is used of an ioredis client, of version 5 or 6. */
export interface RedisClient {
  readonly status: string
  readonly options?: { db?: number | undefined, keyPrefix?: string | undefined }
  readonly isCluster?: boolean
  ping (): Promise<unknown>
  connect (): Promise<unknown>
  disconnect (reconnect?: boolean): void
  duplicate (options?: object): RedisClient
  subscribe (...channels: string[]): Promise<unknown>
  unsubscribe (...channels: string[]): Promise<unknown>
  evalsha (sha: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  eval (script: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  pipeline (): RedisPipeline
  wait (replicas: number, timeout: number): Promise<unknown>
  // Any: each event has arguments of its own, and with `unknown` no client's overloads would fit.
  on (event: string, listener: (...args: any[]) => void): unknown
  off (event: string, listener: (...args: any[]) => void): unknown
}

// In ms. A link is asked every `PING` whether it is there, and given up where it has not answered for `SILENCE`: a
// half-open one looks ready for minutes. A server that was itself busy for so long has its answers waiting by then.
const PING = 1_000
const SILENCE = 2_000
const PAUSES = [20, 50, 100, 200]

/** What Redis answers while it cannot serve, or is not the one to ask; it passes. */
const FOR_NOW = /^(LOADING|BUSY|READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS) ?/

/** The options of every client that is made here: each call has its own deadline and tries again by itself. */
export const clientOptions = {
  lazyConnect: true,
  autoResubscribe: false,
  enableOfflineQueue: false,
  // What was in flight when the link broke fails at once.
  maxRetriesPerRequest: 0,
  connectTimeout: 2_000,
  retryStrategy: (times: number) => Math.min(50 * times, 500) * (0.5 + Math.random())
}

/** One connection: asked by deadline, given up when it falls silent. `own`: made here, and so ours to cut and to close. */
export class Connection {
  readonly client: RedisClient
  readonly #own: boolean
  readonly #scheduler: Scheduler
  readonly #wakes = new Set<() => void>()
  /** The present link: another number after each reconnect. */
  link = 0
  #closed = false
  #stopPinging: (() => void) | undefined
  readonly #count = (): void => { this.link++ }
  readonly #wake = (): void => { for (const wake of this.#wakes) wake() }
  readonly #ignore = (): void => {}

  constructor (client: RedisClient, own: boolean, scheduler: Scheduler) {
    this.client = client
    this.#own = own
    this.#scheduler = scheduler
    client.on('ready', this.#count)
    client.on('ready', this.#wake)
    // It tries again by itself; whoever waits for it is told by its deadline.
    client.on('error', this.#ignore)
  }

  get ready (): boolean {
    return this.client.status === 'ready'
  }

  /** Connects, and keeps an eye on the link. */
  open (): void {
    if (this.client.status === 'wait' || this.client.status === 'end') this.client.connect().catch(() => {})
    this.#pingLater()
  }

  close (): void {
    this.#closed = true
    this.#stopPinging?.()
    this.#wake()
    this.client.off('ready', this.#count)
    this.client.off('ready', this.#wake)
    if (this.#own) this.client.disconnect()
    else this.client.off('error', this.#ignore)
  }

  /** Breaks the link, without waiting for the other side; ioredis connects anew. */
  cut (): void {
    if (!this.#own || this.#closed) return
    const { stream } = this.client as { stream?: { destroy? (): void } }
    if (stream?.destroy !== undefined) stream.destroy()
    else this.client.disconnect(true)
  }

  /**
   * Does `work`, again and again while it fails for reasons that pass, until `deadline`. What it does must be safe to do
   * twice: where an answer is lost, nobody knows whether it was carried out.
   */
  async run<T> (work: (client: RedisClient) => Promise<T>, deadline: number): Promise<T> {
    let why = 'it was not reached in time'
    for (let tries = 0; ; tries++) {
      const left = deadline - this.#scheduler.now()
      if (this.#closed) throw retryAfter(new errors.BrokerAway('it is not open'))
      if (left <= 0) throw retryAfter(new errors.BrokerAway(why))
      if (!this.ready) {
        await this.sleep(left)
        continue
      }
      try {
        return await this.answer(work(this.client), Math.min(left, SILENCE))
      } catch (error) {
        why = (error as Error).message
        if (!isForNow(error)) throw refused(error as Error)
        if (why.startsWith('READONLY')) this.cut()
        await this.sleep(Math.min(left, PAUSES[Math.min(tries, PAUSES.length - 1)] as number))
      }
    }
  }

  /** `work`, or a rejection after `timeout` ms; a link that was silent for so long is cut. */
  answer<T> (work: Promise<T>, timeout: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#scheduler.after(timeout, () => {
        if (timeout >= SILENCE) this.cut()
        reject(new Error(`no answer within ${timeout} ms`))
      })
      work.then(resolve, reject).finally(cancel)
    })
  }

  /** Waits for `delay` ms, or until the link is there again. */
  async sleep (delay: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel()
        this.#wakes.delete(end)
        resolve()
      }
      const cancel = this.#scheduler.after(delay, end)
      this.#wakes.add(end)
    })
  }

  #pingLater (): void {
    this.#stopPinging?.()
    this.#stopPinging = this.#scheduler.after(PING, () => {
      const asked = this.ready && this.#own ? this.answer(this.client.ping(), SILENCE) : Promise.resolve()
      asked.catch(() => {}).finally(() => { if (!this.#closed) this.#pingLater() })
    })
  }
}

function isReply (error: unknown): boolean {
  return (error as Error).name === 'ReplyError'
}

function isForNow (error: unknown): boolean {
  return !isReply(error) || FOR_NOW.test((error as Error).message)
}

/** Redis said no, and will go on to. The reason is the operator's to read: full memory, a missing right, a key of another type. */
function refused (error: Error): Error {
  const away = retryAfter(new errors.BrokerAway(`Redis refuses: ${error.message}`), 5)
  away.cause = error
  return away
}

import type { Duplex } from 'node:stream'
import type { Scheduler } from '../../scheduler.js'
import type { RedisClient } from './client.js'
import { Deadlines } from '../../deadlines.js'
import { errors, retryAfter } from '../../errors.js'
import { isCluster } from './client.js'

// In ms. A link is asked every `PING` whether it is there, and given up where it has not answered for `SILENCE`: a
// half-open one looks ready for minutes. A server that was itself busy for so long has its answers waiting by then.
const PING = 1_000
const SILENCE = 2_000
// At every so many pings a Cluster is asked where its slots are.
const REFRESH = 5
const PAUSES = [20, 50, 100, 200]

/** What Redis answers while it cannot serve, or is not the one to ask; it passes. */
const FOR_NOW = /^(LOADING|BUSY|READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS) ?/

/** Rejects where the client's database cannot be used: ioredis would go on in the first. */
export async function selectDatabase (connection: Connection, { options }: RedisClient, deadline: number): Promise<void> {
  const { db = 0 } = options ?? {}
  if (db !== 0) await connection.run(async (client) => await client.select(db), deadline)
}

/** One connection (or on a Cluster, those to its nodes): asked by deadline, given up when it falls silent. */
export class Connection {
  readonly client: RedisClient
  readonly #scheduler: Scheduler
  readonly #silences: Deadlines
  readonly #wakes = new Set<() => void>()
  /** Nodes with a ping under way. */
  readonly #asked = new Set<RedisClient>()
  /** How often each node was connected to anew; a single Redis is under no name. */
  readonly #links = new Map<string, number>()
  /** Why it could not be connected, when that was last tried. */
  #trouble: unknown
  #closed = false
  #pings = 0
  #stopPinging: (() => void) | undefined
  readonly #wake = (): void => {
    this.#trouble = undefined
    for (const wake of this.#wakes) wake()
  }

  /** `linked` is called after each connect, to each node. */
  constructor (client: RedisClient, scheduler: Scheduler, linked = () => {}) {
    this.client = client
    this.#scheduler = scheduler
    this.#silences = new Deadlines(SILENCE, scheduler)
    client.on('ready', this.#wake)
    const count = (name: string) => () => {
      this.#links.set(name, (this.#links.get(name) ?? -1) + 1)
      linked()
    }
    if (isCluster(client)) client.on('+node', (node: RedisClient) => { node.on('ready', count(`${node.options?.host}:${node.options?.port}`)) })
    else client.on('ready', count(''))
    // It tries again by itself; whoever waits for it is told by its deadline.
    client.on('error', (error: Error) => { this.#trouble = withoutCommand(error) })
  }

  /** The present link to a node (as `nodeOf` names it): something else after each reconnect. */
  linkTo (node: string): string {
    return `${node} ${this.#links.get(node) ?? 0}`
  }

  get ready (): boolean {
    return this.client.status === 'ready'
  }

  /** Connects, and keeps an eye on the link. */
  open (): void {
    if (this.#closed) return
    if (this.client.status === 'wait' || this.client.status === 'end') this.client.connect().catch(() => {})
    this.#pingLater()
  }

  close (): void {
    this.#closed = true
    this.#stopPinging?.()
    this.#wake()
    this.client.disconnect()
  }

  /** Breaks the link, without waiting for the other side; ioredis connects anew. Of a Cluster's nodes it is the pings that find out which is silent. */
  cut (node = this.client): void {
    if (this.#closed || isCluster(node)) return
    const { stream } = node as { stream?: { destroy? (): void } }
    if (stream?.destroy !== undefined) stream.destroy()
    else node.disconnect(true)
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
      if (left <= 0) throw this.away(why)
      if (!this.ready) {
        await this.sleep(left)
        continue
      }
      try {
        this.gather()
        return await this.answer(work(this.client), Math.min(left, SILENCE))
      } catch (error) {
        why = (error as Error).message
        if (!isForNow(error)) throw refused(error as Error)
        if (why.startsWith('READONLY')) this.cut()
        await this.sleep(Math.min(left, PAUSES[Math.min(tries, PAUSES.length - 1)] as number))
      }
    }
  }

  /** What is sent in this turn of the event loop goes out at its end, in one system call; a Cluster's nodes write for themselves. */
  gather (): void {
    const { stream } = this.client as { stream?: Duplex }
    if (stream === undefined || stream.writableCorked !== 0) return
    stream.cork()
    this.#scheduler.soon(() => stream.uncork())
  }

  /** The error for whoever waited in vain; what was wrong with the link is its cause, and no affair of clients. */
  away (why: string): Error {
    return Object.assign(retryAfter(new errors.BrokerAway(why)), this.#trouble !== undefined && { cause: this.#trouble })
  }

  /** `work`, or a rejection after `timeout` ms; a link that was silent for so long is cut. */
  answer<T> (work: Promise<T>, timeout: number, node = this.client): Promise<T> {
    if (timeout < SILENCE) return new Deadlines(timeout, this.#scheduler).race(work, () => noAnswer(timeout))
    return this.#silences.race(work, () => {
      this.cut(node)
      return noAnswer(SILENCE)
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
      if (isCluster(this.client) && ++this.#pings % REFRESH === 0) this.client.refreshSlotsCache()
      const nodes = isCluster(this.client) ? this.client.nodes('master') : [this.client]
      for (const node of nodes) {
        if (node.status !== 'ready' || this.#asked.has(node)) continue
        this.#asked.add(node)
        this.answer(node.ping(), SILENCE, node).catch(() => {}).finally(() => this.#asked.delete(node))
      }
      this.#pingLater()
    })
  }
}

function noAnswer (timeout: number): Error {
  return new Error(`no answer within ${timeout} ms`)
}

function isReply (error: unknown): boolean {
  return (error as Error).name === 'ReplyError'
}

function isForNow (error: unknown): boolean {
  return !isReply(error) || FOR_NOW.test((error as Error).message)
}

/** ioredis keeps the command with its error: a password, or what was published. */
function withoutCommand (error: Error & { command?: unknown }): Error {
  delete error.command
  return error
}

/** Redis said no, and will go on to. The reason is the operator's to read: full memory, a missing right, a key of another type. */
function refused (error: Error): Error {
  const away = retryAfter(new errors.BrokerAway(`Redis refuses: ${error.message}`), 5)
  away.cause = withoutCommand(error)
  return away
}

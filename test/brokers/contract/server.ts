import type { Broker, Outgoing, Published, StoredMessage, Window } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

/** What is used of a runner's tests: both node:test's and tap's have it, and both resolve `test` when the test has ended, well or not. */
export interface TestContext {
  test: TestFunction
  after (fn: () => unknown): unknown
}

export type TestFunction = (name: string, fn: (t: TestContext) => Promise<void>) => unknown

export interface ContractOptions {
  /** Of node:test or tap. */
  test: TestFunction
  /** Of the broker, as it stands in the tests' names. */
  name: string
  /**
   * Makes a broker, not started. All that are made with the same `t` must stand on the same rooms, unless `alone`. Each is
   * closed before what is given to `t.after` runs.
   */
  create (t: TestContext, wishes: Wishes): Broker | Promise<Broker>
  /** Makes one whose `start` has to reject, since what it connects to is not there. Where it is not given, that is not tested. */
  unreachable? (t: TestContext, wishes: Wishes): Broker | Promise<Broker>
  /** It is the only one of its rooms: none is shared between two that are created. Default: false. */
  alone?: boolean
  /** False where it keeps no messages: every `since` that missed some is answered by a gap. Default: true. */
  window?: boolean
  /** False where it remembers no keys. Default: true. */
  keys?: boolean
  /** What a broker refuses of a message that is well-formed otherwise, where there is such. */
  refused?: Omit<Outgoing, 'room' | 'idempotencyKey'>
  /** How long a call may take, or a message to come, in ms. Default: 10,000. */
  timeout?: number
}

/** What a test asks of the broker it wants. */
export interface Wishes {
  /** Messages that the window of a room should be bounded by; a few more may be retained. No test wants one to expire by its age, or by bytes. */
  size: number
  /** How long a key is remembered, in ms. */
  idempotencyTtl: number
}

/** Tests by what they prove. */
export type Tests = Record<string, (stage: Stage) => Promise<void>>

/**
 * The servers of one test. What must not happen at any time is watched here, whatever the test is about, and fails it
 * at once. They are closed by `run`: the order of a runner's own `after` is not the same in all of them.
 */
export class Stage {
  readonly timeout: number
  readonly #t: TestContext
  readonly #options: Omit<ContractOptions, 'test'>
  readonly #servers: Server[] = []
  readonly #failed: Promise<never>
  #failure: Error | undefined
  #reject: (error: Error) => void = () => {}

  constructor (t: TestContext, options: Omit<ContractOptions, 'test'>) {
    this.#t = t
    this.#options = options
    this.timeout = options.timeout ?? 10_000
    this.#failed = new Promise((_resolve, reject) => { this.#reject = reject })
    this.#failed.catch(() => {})
  }

  get options (): Omit<ContractOptions, 'test'> {
    return this.#options
  }

  async run (prove: (stage: Stage) => Promise<void>): Promise<void> {
    try {
      await Promise.race([prove(this), this.#failed])
      if (this.#failure !== undefined) throw this.#failure
    } finally {
      await this.close()
    }
  }

  /** A broker that is started. */
  async start (wishes: Partial<Wishes> = {}): Promise<Server> {
    const server = await this.server(this.#options.create, wishes)
    await server.start()
    return server
  }

  async server (create: ContractOptions['create'], wishes: Partial<Wishes> = {}): Promise<Server> {
    const broker = await create(this.#t, { size: 100, idempotencyTtl: 60_000, ...wishes })
    const server = new Server(broker, this.timeout, (reason) => this.#fail(reason))
    this.#servers.push(server)
    return server
  }

  /** Lets go of all servers. One that does not let go in time is left behind: its test has failed by then. */
  async close (): Promise<void> {
    const closed = Promise.allSettled(this.#servers.map(async (server) => { if (!server.closing) await server.broker.close() }))
    const given = new AbortController()
    await Promise.race([closed, pause(this.timeout, given.signal)])
    given.abort()
  }

  #fail (reason: string): void {
    this.#failure ??= new assert.AssertionError({ message: reason })
    this.#reject(this.#failure)
  }
}

/** A broker under watch, with what it told. */
export class Server {
  readonly broker: Broker
  readonly received: Array<{ room: string, message: StoredMessage }> = []
  /** Called with each message when it has come. */
  onMessage: (room: string, message: StoredMessage) => void = () => {}
  closing = false
  readonly #timeout: number
  readonly #fail: (reason: string) => void
  /** Which call subscribed to the room last. From the call on messages may come, until a later unsubscribe has resolved. */
  readonly #subscribed = new Map<string, number>()
  #calls = 0
  #calling: string | undefined
  #closed = false

  constructor (broker: Broker, timeout: number, fail: (reason: string) => void) {
    this.#timeout = timeout
    this.#fail = fail
    this.broker = new Proxy(broker, {
      get: (_, method: keyof Broker) => (...args: unknown[]) => this.#call(broker, method, args)
    })
  }

  async start (): Promise<void> {
    await this.broker.start({
      message: (room, message) => {
        this.#event('message')
        if (message.type === 'gap') return this.#fail(`a hole came, though nothing was lost: ${JSON.stringify(room)}`)
        if (!this.#subscribed.has(room)) this.#fail(`a message came of a room that is not subscribed to: ${JSON.stringify(room)}`)
        this.received.push({ room, message })
        this.onMessage(room, message)
      },
      doubt: () => this.#event('doubt')
    })
  }

  of (room: string): StoredMessage[] {
    return this.received.filter((entry) => entry.room === room).map(({ message }) => message)
  }

  /** Publishes texts one by one, and answers their ids. */
  async publish (room: string, ...texts: string[]): Promise<Cursor[]> {
    const ids: Cursor[] = []
    for (const text of texts) ids.push(...accepted(await this.broker.publish([{ room, text }])).map(({ id }) => id))
    return ids
  }

  /** So many messages of the room have come, and time for more. */
  async heard (room: string, count: number): Promise<StoredMessage[]> {
    await this.until(() => this.of(room).length >= count, `${count} messages of ${room}`)
    await pause()
    return this.of(room)
  }

  async until (condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    await until(condition, what, this.#timeout)
  }

  #event (name: string): void {
    if (this.#calling !== undefined) this.#fail(`events.${name} was called from within ${this.#calling}()`)
    if (this.#closed) this.#fail(`events.${name} was called after close() had resolved`)
  }

  /** The promise is handed on as it is: a wait of ours in between would hide what comes a moment too late. */
  #call (broker: Broker, method: keyof Broker, args: unknown[]): Promise<unknown> {
    const call = ++this.#calls
    const [room] = args as [string]
    if (method === 'subscribe') this.#subscribed.set(room, call)
    if (method === 'close') this.closing = true
    const timer = setTimeout(() => this.#fail(`${method}() has not settled within ${this.#timeout} ms`), this.#timeout)
    this.#calling = method
    let promise: Promise<unknown>
    try {
      promise = (broker[method] as (...args: unknown[]) => Promise<unknown>).apply(broker, args)
    } finally {
      this.#calling = undefined
    }
    const settled = (): void => {
      clearTimeout(timer)
      if (method === 'unsubscribe' && this.#subscribed.get(room)! < call) this.#subscribed.delete(room)
      if (method === 'close') this.#closed = true
    }
    promise.then(settled, settled)
    return promise
  }
}

/** Fails with what differs, and with what should be. */
export function same (actual: unknown, expected: unknown, message: string): void {
  try {
    assert.deepEqual(actual, expected)
  } catch (error) {
    throw new assert.AssertionError({ message: `${message}\n${(error as Error).message}`, actual, expected, operator: 'deepStrictEqual', stackStartFn: same })
  }
}

/** As `same`, of the fields that are expected only. */
export function match<T extends object> (actual: T, expected: Partial<T>, message: string): void {
  same(Object.fromEntries(Object.keys(expected).map((key) => [key, actual[key as keyof T]])), expected, message)
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

export function messagesOf (window: Window): StoredMessage[] {
  return window.entries.filter((entry) => entry.type === 'message')
}

/** Long enough for what is on its way to come. */
export async function pause (delay = 50, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, delay)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** What is waited for later on. Where the test has failed by then, nobody asks how it ended. */
export function meanwhile<T> (work: () => Promise<T>): Promise<T> {
  const promise = work()
  promise.catch(() => {})
  return promise
}

export async function until (condition: () => boolean | Promise<boolean>, what: string, timeout = 10_000): Promise<void> {
  const deadline = performance.now() + timeout
  while (!await condition()) {
    assert.ok(performance.now() <= deadline, `waited ${timeout} ms in vain for ${what}`)
    await pause(5)
  }
}

/** Each message follows the one before it, the first of them `start`. */
export function chain (start: Cursor, messages: readonly StoredMessage[]): void {
  let position = start
  for (const message of messages) {
    const { type, id, previous, text } = message
    same({ type, previous }, { type: 'message', previous: position }, `previous of message ${text.slice(0, 100)} is the position before it`)
    assert.ok(Number.isSafeInteger(id.epoch) && Number.isSafeInteger(id.offset) && id.epoch >= 0, `${JSON.stringify(id)} is two integers below 2^53`)
    assert.ok(id.offset > position.offset, `offset ${id.offset} grows over ${position.offset}`)
    position = id
  }
}

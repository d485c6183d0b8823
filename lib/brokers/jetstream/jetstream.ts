import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, BrokerLog, Outgoing, Published, ReadRequest, Window } from '../broker.js'
import type { Msg } from '../nats/connection.js'
import type { Subscription } from '../nats/subscription.js'
import type { NatsOptions } from '../nats/url.js'
import type { Pending } from '../publisher.js'
import type { StreamWishes } from './stream.js'
import { randomBytes } from 'node:crypto'
import { notAfter, sameCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { NatsConnection } from '../nats/connection.js'
import { headersOf } from '../nats/headers.js'
import { encodePrefix, encodeRoom } from '../nats/subjects.js'
import { Publisher } from '../publisher.js'
import { Api } from './api.js'
import { Keeper } from './keeper.js'
import { idAt, isMark, passing } from './lineage.js'
import { publish } from './publish.js'
import { Reader } from './reader.js'
import { Reorder } from './reorder.js'
import { duplicateWindow, ensureStream, Names } from './stream.js'
import { Windows } from './window.js'

/** In the place of a room: no room's token has a tilde in it. */
const RECORDS = '~lineage'
// How long another server may take to say that it is there, in ms.
const GREETING = 300
// Rooms that are compared at once.
const TOGETHER = 200
// Between tries to find out what happened while the link was broken, in ms; and how many live messages wait for that.
const AGAIN = 300
const SOON = 10
const HELD = 10_000
// Live messages whose sequences are remembered.
const RECENT = 256

export interface JetStreamBrokerOptions extends StreamWishes {
  nats: NatsOptions
  keyPrefix: string
  /** How long any call may take, in ms. */
  timeout: number
  /** How long a start may take, in ms: as long as any call unless told. */
  startTimeout?: number
  log?: BrokerLog
  scheduler?: Scheduler
}

/** A room that is subscribed to. */
interface Live {
  readonly subscription: Subscription
  /** The newest position that this server was told of; when it was, in ms; and the end of the stream when the room was last compared. */
  position: Cursor | undefined
  heard: number
  end: number
  /** Made when it is first needed. */
  reorder?: Reorder
}

/**
 * NATS JetStream: one stream holds the windows of all rooms, a subject each, and its `republish` carries each message on,
 * once it is stored, to the servers that subscribed to its room, with the sequence of the message and of the one before it in
 * that room. What is lost on the way is so found out and read from the stream; what the stream loses, by the lineage (`keeper.ts`).
 */
export class JetStreamBroker implements Broker {
  readonly #options: JetStreamBrokerOptions
  readonly #scheduler: Scheduler
  readonly #names: Names
  readonly #connection: NatsConnection
  readonly #api: Api
  readonly #keeper: Keeper
  readonly #windows: Windows
  readonly #publisher: Publisher
  readonly #rooms = new Map<string, Live>()
  #events: BrokerEvents | undefined
  #started = false
  #closed = false
  /** The stream's own subscriptions here. */
  #records: Subscription | undefined
  #greetings: Subscription | undefined
  /** While the link was broken, and it is not known yet what happened meanwhile: what comes live. */
  #held: Array<() => void> | undefined
  /** How often that was so. */
  #doubts = 0
  #linked = false
  /** The process at the other end of the link on which it was not so last. */
  #server: string | undefined
  /** Of what came live: the highest sequence, and the ids of the last messages by their sequences. */
  #latest = 0
  readonly #recent = new Map<number, string>()
  #suspecting = false

  constructor (options: JetStreamBrokerOptions) {
    const { nats, keyPrefix, timeout, history, scheduler = systemScheduler } = options
    this.#options = options
    this.#scheduler = scheduler
    this.#names = new Names(encodePrefix(keyPrefix))
    this.#connection = new NatsConnection(nats, scheduler, {
      connected: () => {
        this.#linked = true
        if (this.#started) void this.#resume()
      },
      disconnected: () => {
        this.#linked = false
        this.#doubt()
      }
    })
    this.#api = new Api(this.#connection, this.#names.stream, scheduler)
    this.#keeper = new Keeper({
      api: this.#api,
      subject: this.#names.stored(RECORDS),
      ensure: async (deadline) => await ensureStream(this.#api, this.#names, options, deadline),
      changed: () => this.#events?.doubt()
    })
    this.#windows = new Windows({ api: this.#api, reader: new Reader(this.#api), keeper: this.#keeper, maxAge: history.maxAge })
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), timeout, scheduler, (room, batch) => this.#publish(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    const deadline = this.#scheduler.now() + (this.#options.startTimeout ?? this.#options.timeout)
    this.#events = events
    await this.#connection.open(deadline)
    const { version = '0', headers = false } = this.#connection.serverInfo ?? {}
    if (!headers || !/^(2\.(9|\d\d)|[3-9]|\d\d)\./.test(version)) throw new errors.InvalidOption(`options.broker leads to NATS ${version}, which is too old: 2.9 or later is needed`)
    // Before the first is read: those that are written from then on come.
    this.#records ??= this.#connection.subscribe(this.#names.live(RECORDS), (message) => this.#learn(message))
    await this.#records.confirmed(deadline).catch((error: Error) => {
      this.#records = undefined
      throw error
    })
    await this.#keeper.check(deadline)
    if (!this.#started) {
      if (await this.#isAlone()) await this.#keeper.begin(deadline)
      this.#started = true
      this.#server = this.#connection.serverInfo?.server_id
      this.#greetings = this.#connection.subscribe(this.#names.servers, (message) => message.respond())
      await this.#greetings.confirmed(deadline)
    }
  }

  async subscribe (room: string): Promise<Cursor> {
    const deadline = this.#deadline()
    let live = this.#rooms.get(room)
    if (live === undefined) {
      const opened: Live = {
        subscription: this.#connection.subscribe(this.#names.live(encodeRoom(room)), (message) => this.#take(room, opened, message)),
        position: undefined,
        heard: 0,
        end: 0
      }
      this.#rooms.set(room, live = opened)
    }
    try {
      await live.subscription.confirmed(deadline)
    } catch (error) {
      if (this.#rooms.get(room) === live) this.#rooms.delete(room)
      throw error
    }
    const { position: before } = live
    const position = await this.#surely(deadline, async () => {
      const newest = await this.#windows.newest(this.#subject(room), deadline)
      return newest === undefined ? this.#emptyFor(before) : this.#windows.top(newest.sequence)
    })
    this.#note(live, position)
    return position
  }

  async unsubscribe (room: string): Promise<void> {
    const live = this.#rooms.get(room)
    this.#rooms.delete(room)
    live?.subscription.unsubscribe()
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, request: ReadRequest): Promise<Window> {
    const deadline = this.#deadline()
    return await this.#surely(deadline, async () => await this.#windows.read(this.#subject(room), request, deadline))
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    const deadline = this.#deadline()
    return await this.#surely(deadline, async () => {
      const { state: { last_seq: end } } = await this.#keeper.check(deadline)
      const tops: Cursor[] = []
      for (let i = 0; i < rooms.length; i += TOGETHER) {
        tops.push(...await Promise.all(rooms.slice(i, i + TOGETHER).map(({ room, seen }) => this.#compare(room, seen, end, deadline))))
      }
      return tops
    })
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#events = undefined
    await this.#connection.close()
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#options.timeout
  }

  #subject (room: string): string {
    return this.#names.stored(encodeRoom(room))
  }

  async #isAlone (): Promise<boolean> {
    return await this.#connection.request(this.#names.servers, '', { deadline: this.#scheduler.now() + GREETING }).then(() => false, () => true)
  }

  #note (live: Live, position: Cursor, end = 0): void {
    live.position = position
    live.heard = this.#scheduler.now()
    live.end = end
  }

  #emptyFor (position: Cursor | undefined): Cursor {
    return position !== undefined && this.#windows.holds(position) ? passing(this.#keeper.lineage, position) : this.#windows.empty()
  }

  /** Where a room stands, for this server, which stands at `seen`. */
  async #compare (room: string, seen: Cursor, end: number, deadline: number): Promise<Cursor> {
    const live = this.#rooms.get(room)
    // Nothing at all was stored since.
    if (live?.position !== undefined && live.end === end && sameCursor(live.position, seen)) return seen
    const { lineage } = this.#keeper
    let newest = await this.#api.lastOfAny(this.#subject(room), deadline)
    // Whoever was asked may be behind.
    if (newest === undefined || newest < seen.offset || newest > this.#keeper.high) newest = (await this.#windows.newest(this.#subject(room), deadline))?.sequence
    let top: Cursor
    if (newest === undefined || !this.#windows.belongs(newest)) top = live?.position !== undefined && sameCursor(live.position, seen) ? passing(lineage, this.#beforeFirst(live)) : this.#emptyFor(seen)
    else if (newest < seen.offset && isMark(lineage, seen.offset) && this.#windows.holds(seen)) top = passing(lineage, seen)
    else top = this.#windows.top(newest)
    if (live !== undefined && sameCursor(top, seen)) this.#note(live, top, end)
    return top
  }

  get #disorder (): number {
    return /^2\.9\./.test(this.#connection.serverInfo?.version ?? '') ? RECENT : 0
  }

  #learn (message: Msg): void {
    const sequence = Number(headersOf(message)('Nats-Sequence'))
    this.#follows(sequence, '')
    if (!this.#keeper.learn(message.string(), sequence)) this.#doubt()
  }

  /** Sequences grow, unless the stream is another one. What comes again, after the leader changed, is nothing to worry about, nor what comes a little late (see `Reorder`). */
  #follows (sequence: number, messageId: string): void {
    const known = this.#recent.get(sequence)
    if (known === undefined ? sequence < this.#latest - this.#disorder : known !== messageId) this.#doubt()
    this.#latest = Math.max(this.#latest, sequence)
    this.#recent.set(sequence, messageId)
    if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.keys().next().value as number)
  }

  #take (room: string, live: Live, message: Msg): void {
    const header = headersOf(message)
    this.#follows(Number(header('Nats-Sequence')), header('Nats-Msg-Id'))
    if (this.#held !== undefined) {
      if (this.#held.length < HELD) this.#held.push(() => { if (this.#rooms.get(room) === live) this.#receive(room, live, message) })
      return
    }
    this.#receive(room, live, message)
  }

  #receive (room: string, live: Live, message: Msg): void {
    const header = headersOf(message)
    const sequence = Number(header('Nats-Sequence'))
    const before = Number(header('Nats-Last-Sequence'))
    const { position } = live
    if (position === undefined || before <= position.offset) {
      if (live.reorder === undefined) return this.#deliver(room, live, message, sequence, before)
    }
    live.reorder ??= new Reorder(this.#scheduler, () => live.position?.offset ?? Infinity)
    live.reorder.take({ sequence, before, deliver: () => { if (this.#rooms.get(room) === live) this.#deliver(room, live, message, sequence, before) } })
  }

  #deliver (room: string, live: Live, message: Msg, sequence: number, before: number): void {
    if (!this.#windows.belongs(sequence)) return
    this.#keeper.see(sequence, headersOf(message)('Nats-Msg-Id'))
    const { lineage } = this.#keeper
    const id = idAt(lineage, sequence)
    const previous = passing(lineage, before > 0 && this.#windows.belongs(before) ? idAt(lineage, before) : this.#beforeFirst(live), sequence)
    if (live.position === undefined || !notAfter(id, live.position)) this.#note(live, id)
    this.#events?.message(room, { type: 'message', id, previous, text: message.string() })
  }

  /** What comes before the only message of a room that is stored: where it was known to stand so short a time ago that nothing can have come and gone. */
  #beforeFirst ({ position, heard }: Live): Cursor {
    const { lineage, bounds: { maxAge } } = this.#keeper
    const isKnown = position !== undefined && lineage.segments.some(({ epoch }) => epoch === position.epoch)
    return isKnown && this.#scheduler.now() - heard < 0.9 * maxAge ? position : this.#windows.empty()
  }

  async #publish (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    if (!this.#keeper.known) return batch.map(() => retryAfter(new errors.BrokerAway('it was not reached yet')))
    return await publish({
      api: this.#api,
      keeper: this.#keeper,
      memory: duplicateWindow(this.#options.idempotencyTtl),
      pause: async (delay) => {
        await this.#pause(delay)
        return !this.#closed
      },
      isSure: () => this.#held === undefined,
      untilSure: (deadline) => this.#untilSure(deadline),
      doubt: () => this.#doubt(),
      suspect: () => this.#suspect()
    }, this.#subject(room), room, batch)
  }

  /** Finds out whether something was lost. */
  #suspect (): void {
    if (this.#suspecting || this.#closed) return
    this.#suspecting = true
    this.#keeper.check(this.#deadline()).catch(() => {}).finally(() => { this.#suspecting = false })
  }

  /** The link is broken, or the stream is not what it was: what was held until now came of what was before. */
  #doubt (): void {
    if (!this.#started || this.#closed) return
    this.#doubts++
    this.#held = []
    this.#latest = 0
    this.#recent.clear()
    if (this.#linked) void this.#resume()
  }

  /** Does `work` again where it became doubtful meanwhile what the stream is: answers of before and after may be mixed in it. */
  async #surely<T> (deadline: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      if (!await this.#untilSure(deadline)) throw this.#connection.away('the stream was not reached in time')
      const doubts = this.#doubts
      const done = await work()
      if (doubts === this.#doubts) return done
    }
  }

  async #untilSure (deadline: number): Promise<boolean> {
    while (this.#held !== undefined && !this.#closed && this.#scheduler.now() < deadline) await this.#pause(SOON)
    return this.#held === undefined
  }

  /** What happened meanwhile is found out before anything is taken for what it seems. */
  async #resume (): Promise<void> {
    const doubt = this.#doubts
    const isOver = (): boolean => this.#closed || doubt !== this.#doubts
    const { epoch } = this.#keeper
    const server = this.#connection.serverInfo?.server_id
    for (;;) {
      try {
        await this.#keeper.check(this.#deadline())
        if (isOver()) return
        // Another process, which may have begun with less than the one before had.
        if (server !== this.#server) await this.#keeper.renew(epoch, this.#deadline())
        break
      } catch (error) {
        if (isOver()) return
        this.#options.log?.warn({ err: error }, 'fan-out: the stream cannot be read, trying again')
        await this.#pause(AGAIN)
      }
    }
    if (isOver()) return
    this.#server = server
    const held = this.#held ?? []
    this.#held = undefined
    for (const take of held) take()
    this.#events?.doubt()
  }

  async #pause (delay: number): Promise<void> {
    await new Promise<void>((resolve) => this.#scheduler.after(delay * (0.5 + this.#scheduler.random()), resolve))
  }
}

import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Broker, BrokerEvents, BrokerLog, Outgoing, Published, ReadRequest, Window } from '../broker.js'
import type { Msg } from '../nats/connection.js'
import type { Subscription } from '../nats/subscription.js'
import type { NatsOptions } from '../nats/url.js'
import type { Pending } from '../publisher.js'
import type { Comparing } from './compare.js'
import type { StreamWishes } from './stream.js'
import { randomBytes } from 'node:crypto'
import { sameCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { NatsConnection } from '../nats/connection.js'
import { headersOf } from '../nats/headers.js'
import { encodePrefix, encodeRoom } from '../nats/subjects.js'
import { Publisher } from '../publisher.js'
import { Api } from './api.js'
import { Certainty } from './certainty.js'
import { compare, emptyFor } from './compare.js'
import { Judge } from './judge.js'
import { JoinedRooms } from './joined.js'
import { Keeper } from './keeper.js'
import { topAt } from './lineage.js'
import { Newest } from './newest.js'
import { publish } from './publish.js'
import { Reader } from './reader.js'
import { asAway, isGone } from './refusals.js'
import { Sequences } from './sequences.js'
import { duplicateWindow, ensureStream, Names } from './stream.js'
import { Windows } from './window.js'

/** In the place of a room: no room's token has a tilde in it. */
const RECORDS = '~lineage'
// How long another server may take to say that it is there, in ms.
const GREETING = 300
// Rooms that are compared at once.
const TOGETHER = 256

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
  readonly #newest: Newest
  readonly #windows: Windows
  readonly #comparing: Comparing
  readonly #publisher: Publisher
  readonly #joined: JoinedRooms
  readonly #certainty: Certainty
  readonly #sequences = new Sequences(() => !/^2\.9\./.test(this.#connection.serverInfo?.version ?? ''))
  #events: BrokerEvents | undefined
  #started = false
  #closed = false
  /** The servers' own subscriptions. */
  #records: Subscription | undefined
  #greetings: Subscription | undefined
  /** The process that the stream was last looked at on. */
  #server: string | undefined
  #suspecting = false

  constructor (options: JetStreamBrokerOptions) {
    const { nats, keyPrefix, timeout, history, scheduler = systemScheduler } = options
    this.#options = options
    this.#scheduler = scheduler
    this.#names = new Names(encodePrefix(keyPrefix))
    this.#connection = new NatsConnection(nats, scheduler, {
      connected: () => this.#certainty.linked(),
      disconnected: () => {
        this.#sequences.forget()
        this.#certainty.unlinked()
      }
    })
    this.#certainty = new Certainty({
      scheduler,
      look: (isOver) => this.#look(isOver),
      found: () => this.#events?.doubt(),
      failed: (error) => options.log?.warn({ err: error }, 'fan-out: the stream cannot be read, trying again'),
      away: () => this.#connection.away('the stream was not reached in time')
    })
    this.#api = new Api(this.#connection, this.#names.stream, scheduler)
    this.#keeper = new Keeper({
      api: this.#api,
      subject: this.#names.stored(RECORDS),
      ensure: async (deadline) => await ensureStream(this.#api, this.#names, options, deadline),
      changed: () => this.#events?.doubt()
    })
    this.#joined = new JoinedRooms({
      connection: this.#connection,
      names: this.#names,
      keeper: this.#keeper,
      certainty: this.#certainty,
      sequences: this.#sequences,
      scheduler,
      hand: (room, stored) => this.#events?.message(room, stored)
    })
    const judge = new Judge({ api: this.#api, keeper: this.#keeper })
    this.#newest = new Newest({ api: this.#api, keeper: this.#keeper, scheduler })
    this.#windows = new Windows({ newest: this.#newest, reader: new Reader(this.#api), keeper: this.#keeper, judge, maxAge: history.maxAge })
    this.#comparing = { keeper: this.#keeper, newest: this.#newest }
    this.#publisher = new Publisher(randomBytes(9).toString('base64url'), timeout, scheduler, (room, batch) => this.#publish(room, batch))
  }

  async start (events: BrokerEvents): Promise<void> {
    await this.#start(events).catch((error: unknown) => { throw asAway(error) })
  }

  async #start (events: BrokerEvents): Promise<void> {
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
      else await this.#keeper.renew(undefined, deadline)
      this.#started = true
      this.#certainty.begin()
      this.#server = this.#connection.serverInfo?.server_id
    }
    this.#greetings ??= this.#connection.subscribe(this.#names.servers, (message) => message.respond())
    await this.#greetings.confirmed(deadline).catch((error: Error) => {
      this.#greetings = undefined
      throw error
    })
  }

  async subscribe (room: string): Promise<Cursor> {
    const deadline = this.#deadline()
    const live = await this.#joined.join(room, deadline)
    const { position: before } = live
    const position = await this.#surely(deadline, async () => {
      const newest = await this.#newest.of(this.#subject(room), deadline)
      return newest === undefined ? emptyFor(this.#keeper, before) : topAt(this.#keeper.lineage, newest.sequence)
    })
    live.note(position)
    return position
  }

  async unsubscribe (room: string): Promise<void> {
    this.#joined.leave(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, request: ReadRequest): Promise<Window> {
    const deadline = this.#deadline()
    const live = this.#joined.live(room)
    const stood = live?.position
    const window = await this.#surely(deadline, async () => await this.#windows.read(this.#subject(room), request, deadline))
    // It was purged while it stood there: who has passed the hole is not to find another.
    if (stood !== undefined && stood === live?.position && request.since !== undefined && sameCursor(request.since, stood) && !window.more && window.entries.every(({ type }) => type === 'gap')) live.note(window.position)
    return window
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    const deadline = this.#deadline()
    return await this.#surely(deadline, async () => {
      const { state: { last_seq: sequence } } = await this.#keeper.check(deadline)
      const end = { epoch: this.#keeper.epoch, sequence }
      const tops: Cursor[] = []
      for (let i = 0; i < rooms.length; i += TOGETHER) {
        tops.push(...await Promise.all(rooms.slice(i, i + TOGETHER).map(({ room, seen }) => compare(this.#comparing, this.#subject(room), this.#joined.live(room), seen, end, deadline))))
      }
      return tops
    })
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#certainty.close()
    this.#events = undefined
    await this.#connection.close()
  }

  /** See `Certainty.surely`. A stream that was deleted a moment ago is made anew first. */
  async #surely<T> (deadline: number, work: () => Promise<T>): Promise<T> {
    return await this.#certainty.surely(deadline, async () => {
      try {
        return await work()
      } catch (error) {
        if (!isGone(error)) throw error
      }
      await this.#keeper.check(deadline)
      return await work()
    }).catch((error: unknown) => { throw asAway(error) })
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

  #learn (message: Msg): void {
    const sequence = Number(headersOf(message)('Nats-Sequence'))
    if (!this.#sequences.follows(sequence, '')) this.#certainty.doubt()
    if (!this.#keeper.learn(message.string(), sequence)) this.#certainty.doubt()
  }

  async #publish (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    if (!this.#keeper.known) return batch.map(() => retryAfter(new errors.BrokerAway('it was not reached yet')))
    return await publish({
      api: this.#api,
      keeper: this.#keeper,
      memory: duplicateWindow(this.#options.idempotencyTtl),
      pause: async (delay) => {
        await new Promise<void>((resolve) => this.#scheduler.after(delay * (0.5 + this.#scheduler.random()), resolve))
        return !this.#closed
      },
      certainty: this.#certainty,
      suspect: () => this.#suspect()
    }, this.#subject(room), room, batch)
  }

  /** Finds out whether something was lost. */
  #suspect (): void {
    if (this.#suspecting || this.#closed) return
    this.#suspecting = true
    this.#keeper.check(this.#deadline()).catch(() => {}).finally(() => { this.#suspecting = false })
  }

  async #look (isOver: () => boolean): Promise<void> {
    const { epoch } = this.#keeper
    const server = this.#connection.serverInfo?.server_id
    await this.#keeper.check(this.#deadline())
    // Another process, which may have begun with less than the one before had.
    if (!isOver() && server !== this.#server) await this.#keeper.renew(epoch, this.#deadline())
    if (!isOver()) this.#server = server
  }
}

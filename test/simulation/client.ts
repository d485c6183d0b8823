import type { Cursor } from '../../lib/cursor.js'
import type { FanOutError } from '../../lib/errors.js'
import type { Batch } from '../../lib/message.js'
import type { From } from '../../lib/rooms/catch-up.js'
import type { Rooms } from '../../lib/rooms/rooms.js'
import type { Sink, Subscribed, Subscriber } from '../../lib/rooms/subscriber.js'
import type { Asked, Record } from './oracle.js'
import type { Clock } from './clock.js'
import { show } from './oracle.js'

/** A server, as far as its clients are concerned. `known` are the newest positions that it told anybody live. */
export interface Server {
  readonly rooms: Rooms
  readonly known: Map<string, Cursor>
}

/** A client of one room. It has at most one subscription at a time, and takes its cursor from one to the next. */
export class Client {
  readonly name: string
  readonly room: string
  /** What it was told since it began without a cursor. */
  record: Record | undefined
  readonly #clock: Clock
  readonly #newRecord: () => Record
  readonly #say: (what: string) => void
  #subscription: Subscription | undefined
  /** It takes nothing until told to. */
  stalled = false
  /** It takes no replay for now: others on its connection fill it. */
  ready = true
  /** It takes a batch, and the next one after so many ms. */
  pace = 0
  /** How often it asked for a replay. */
  replays = 0

  constructor (name: string, room: string, clock: Clock, newRecord: () => Record, say: (what: string) => void) {
    this.name = name
    this.room = room
    this.#clock = clock
    this.#newRecord = newRecord
    this.#say = say
  }

  get connected (): boolean {
    return this.#subscription?.answer !== undefined
  }

  get cursor (): Cursor | undefined {
    return this.record?.standing
  }

  /** Leaves where it is and subscribes anew; `abort` cancels it after so many ms, unless it is through by then. */
  subscribe (server: Server, from: From | 'again', wrong: (what: string) => void, abort?: number): Subscription {
    this.drop()
    const { cursor } = this
    const resumes = from === 'again' && cursor !== undefined
    const request: From = from !== 'again' ? from : resumes ? { since: cursor } : {}
    if (Object.keys(request).length > 0) this.replays++
    const record = resumes && this.record !== undefined ? this.record : this.#newRecord()
    this.record = record
    const since = typeof request.since === 'object' ? request.since : undefined
    const subscription = new Subscription(this, record, { since, known: server.known.get(this.room) }, server, this.#say, wrong)
    this.#subscription = subscription
    const controller = new AbortController()
    subscription.cancel = () => controller.abort()
    this.#say(`${this.name} subscribes ${since === undefined ? JSON.stringify(request) : `since ${show(since)}`}`)
    server.rooms.subscribe(this.room, subscription, request, controller.signal).then((joined) => subscription.through(joined), (error) => {
      this.#say(`${this.name} is refused: ${error.message}`)
      subscription.refused = true
      if (this.#subscription === subscription) this.#subscription = undefined
    })
    if (abort !== undefined) {
      this.#clock.after(abort, () => {
        if (this.#subscription === subscription && !subscription.isThrough) this.drop()
      })
    }
    return subscription
  }

  drop (): void {
    const subscription = this.#subscription
    if (subscription === undefined) return
    this.#say(`${this.name} drops`)
    this.#subscription = undefined
    subscription.drop()
  }

  /** Its server let it go. */
  ended (subscription: Subscription): void {
    this.#say(`${this.name} is let go`)
    if (this.#subscription === subscription) this.#subscription = undefined
  }

  take (): void {
    this.stalled = false
    this.ready = true
    this.#subscription?.take()
  }

  /** Asked after each write: whether it takes more at once. */
  takes (subscription: Subscription): boolean {
    if (this.stalled) return false
    if (this.pace === 0) return true
    this.#clock.after(this.pace, () => { if (!this.stalled) subscription.take() })
    return false
  }

  is (subscription: Subscription): boolean {
    return this.#subscription === subscription
  }
}

/** One subscription of a client: the sink that its server writes to. */
export class Subscription implements Sink {
  answer: Subscribed | undefined
  refused = false
  cancel = (): void => {}
  readonly #client: Client
  readonly #record: Record
  readonly #asked: Asked
  readonly #server: Server
  readonly #say: (what: string) => void
  readonly #wrong: (what: string) => void
  #joined: Subscriber | undefined
  #dropped = false
  #full = false
  #everFull = false
  #writes = 0

  constructor (client: Client, record: Record, asked: Asked, server: Server, say: (what: string) => void, wrong: (what: string) => void) {
    this.#client = client
    this.#record = record
    this.#asked = asked
    this.#server = server
    this.#say = say
    this.#wrong = wrong
  }

  get isThrough (): boolean {
    return this.#joined !== undefined
  }

  through (joined: Subscriber): void {
    this.#joined = joined
    if (this.#dropped) joined.leave()
    else if (!this.#full) joined.resume()
  }

  drop (): void {
    this.#dropped = true
    this.cancel()
    this.#joined?.leave()
  }

  take (): void {
    this.#full = false
    this.#joined?.resume()
  }

  subscribed (answer: Subscribed): void {
    this.#say(`${this.#client.name} is subscribed at ${show(answer.id)}, recovered ${answer.recovered}, replayed ${answer.replayed}`)
    if (this.answer !== undefined) this.#wrong('subscribed twice')
    this.answer = answer
    if (this.#client.is(this)) this.#record.subscribed(this.#asked, answer)
  }

  ready (): boolean {
    if (!this.#client.ready) this.#everFull = true
    return this.#client.ready
  }

  write (batch: Batch, live: boolean): boolean {
    this.#mayWrite()
    for (const entry of batch.entries) {
      this.#say(`${this.#client.name} gets ${entry.type === 'gap' ? `a gap (${entry.reason}, from ${show(entry.from)}) to ` : ''}${show(entry.id)}${live ? '' : ' by replay'}`)
      if (this.#client.is(this)) this.#record.entry(entry, this.#everFull)
      if (live) this.#server.known.set(this.#client.room, entry.id)
    }
    return this.#taken()
  }

  snapshot (id: Cursor): boolean {
    this.#mayWrite()
    this.#say(`${this.#client.name} gets a snapshot at ${show(id)}`)
    if (this.#client.is(this)) this.#record.snapshot(id)
    return this.#taken()
  }

  ended ({ code, message }: FanOutError): void {
    if (code !== 'FAN_OUT_ERR_CLOSING') this.#wrong(`ended: ${message}`)
    if (this.#dropped && this.#joined !== undefined) this.#wrong('ended after it left')
    this.#dropped = true
    this.#client.ended(this)
  }

  #mayWrite (): void {
    if (++this.#writes > 1_000) throw new Error('this client is written to without an end')
    if (this.answer === undefined) this.#wrong('written to before subscribed')
    if (this.#dropped && this.#joined !== undefined) this.#wrong('written to after it left')
    if (this.#full) this.#wrong('written to while it was full')
  }

  #taken (): boolean {
    if (this.#client.takes(this)) return true
    this.#full = this.#everFull = true
    return false
  }
}

import type { Broker, BrokerEvents, Outgoing, Published, ReadRequest, StoredMessage, Window } from '../../lib/brokers/broker.js'
import type { Cursor } from '../../lib/cursor.js'
import type { Clock, Random } from './clock.js'
import type { Truth } from './history.js'
import { History } from './history.js'

export type Call = 'subscribe' | 'publish' | 'read' | 'positions'

/** What befalls the next calls of a kind: refused; carried out but the answer is lost, with an error or in silence; or late by `delay` ms. */
export interface Fault { call: Call, kind: 'refused' | 'unanswered' | 'silent' | 'late', delay: number, left: number }

/** The broker that all servers share: it holds the truth, and carries it to whoever subscribed. */
export class Cluster {
  readonly clock: Clock
  readonly random: Random
  readonly adaptors = new Set<Adaptor>()
  readonly histories = new Map<string, History>()
  readonly #size: number
  #epoch = 0

  constructor (clock: Clock, random: Random, size: number) {
    this.clock = clock
    this.random = random
    this.#size = size
  }

  history (room: string): History {
    let history = this.histories.get(room)
    if (history === undefined) this.histories.set(room, history = new History(() => ++this.#epoch, this.#size))
    return history
  }

  append ({ room, text }: Outgoing): Truth {
    const message = this.history(room).append(text)
    for (const adaptor of this.adaptors) adaptor.carry(room, message)
    return message
  }
}

/** A room's live link. What is sent on it arrives in order; `skip` messages are lost on it without a sign. */
interface Link { arrival: number, skip: number, late: boolean, recent: StoredMessage[] }

/** What one server has of the broker. It keeps the contract of `Broker`, and no more: whatever that allows to go wrong does. */
export class Adaptor implements Broker {
  readonly faults: Fault[] = []
  /** Added to the way of every live message, in ms. */
  lag = 0
  readonly calls = { subscribe: 0, publish: 0, read: 0, positions: 0, unsubscribe: 0 }
  readonly #cluster: Cluster
  #events: BrokerEvents | undefined
  #cut = false
  readonly #links = new Map<string, Link>()
  readonly #wanted = new Set<string>()
  /** Subscribes and unsubscribes that wait for the link, in order. */
  #waiting: Array<() => void> = []
  readonly #unsettled = new Set<(error: Error) => void>()
  // When the last subscribe or unsubscribe of a room reaches the broker: they are obeyed in order.
  readonly #obeyed = new Map<string, number>()

  constructor (cluster: Cluster) {
    this.#cluster = cluster
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    this.#cluster.adaptors.add(this)
  }

  subscribe (room: string): Promise<Cursor> {
    return this.#call('subscribe', () => {
      this.#wanted.add(room)
      if (!this.#links.has(room)) this.#connect(room)
      return this.#cluster.history(room).top
    }, room)
  }

  async unsubscribe (room: string): Promise<void> {
    await this.#call('unsubscribe', () => {
      this.#wanted.delete(room)
      this.#links.delete(room)
    }, room)
  }

  publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    const published: Truth[] = []
    const refused = this.#call('publish', () => { for (const message of messages) published.push(this.#cluster.append(message)) })
    return refused.then(() => published.map((message) => {
      message.acknowledged = true
      return { id: message.id, duplicate: false }
    }), (error) => messages.map(() => error))
  }

  read (room: string, request: ReadRequest): Promise<Window> {
    return this.#call('read', () => this.#cluster.history(room).read(request))
  }

  positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    return this.#call('positions', () => rooms.map(({ room }) => this.#cluster.history(room).top))
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#cluster.adaptors.delete(this)
    for (const reject of this.#unsettled) reject(new Error('closed'))
  }

  get rooms (): number {
    return this.#wanted.size
  }

  /** Sends a message on its way to this server. */
  carry (room: string, message: StoredMessage): void {
    const link = this.#links.get(room)
    if (link === undefined) return
    if (link.skip > 0) link.skip--
    else this.#send(room, link, message)
  }

  #send (room: string, link: Link, message: StoredMessage): void {
    const { clock } = this.#cluster
    link.arrival = Math.max(link.arrival, clock.time + this.#delay() + this.lag)
    clock.at(link.arrival, () => {
      if (this.#links.get(room) !== link && !(link.late && this.#wanted.has(room))) return
      link.recent = [...link.recent.slice(-2), message]
      this.#events?.message(room, { type: 'message', id: message.id, previous: message.previous, text: message.text })
    })
  }

  /** The live link breaks. What was on its way is lost, or comes later all the same. */
  cut (late: boolean): void {
    this.#cut = true
    for (const link of this.#links.values()) link.late = late
    this.#links.clear()
  }

  /** The live link is whole again; then doubt is raised. */
  mend (): void {
    if (!this.#cut) return
    this.#cut = false
    for (const room of this.#wanted) this.#connect(room)
    const waiting = this.#waiting
    this.#waiting = []
    for (const obey of waiting) obey()
    this.#cluster.clock.after(this.#delay(), () => {
      if (!this.#cut) this.#events?.doubt(this.#cluster.random.chance(0.5) ? undefined : [...this.#wanted])
    })
  }

  /** The next message of every room is lost on its way, and nobody told. */
  skip (): void {
    for (const link of this.#links.values()) link.skip = 1
  }

  /** The last few messages are sent again. */
  repeat (): void {
    for (const [room, link] of this.#links) for (const message of link.recent) this.#send(room, link, message)
  }

  heal (): void {
    this.faults.length = 0
    this.lag = 0
    for (const link of this.#links.values()) link.skip = 0
    this.mend()
  }

  #connect (room: string): void {
    this.#links.set(room, { arrival: 0, skip: 0, late: false, recent: [] })
  }

  #delay (): number {
    const { random } = this.#cluster
    return random.chance(0.05) ? random.upTo(60) : random.upTo(3)
  }

  /** Carries out a call: a way to the broker, the effect there, and a way back. */
  #call<T> (call: keyof Adaptor['calls'], effect: () => T, room?: string): Promise<T> {
    const { clock, random } = this.#cluster
    this.calls[call]++
    const fault = this.faults.find((fault) => fault.call === call)
    if (fault !== undefined && --fault.left <= 0) this.faults.splice(this.faults.indexOf(fault), 1)
    const slow = fault?.kind === 'late' ? fault.delay : 0
    const there = this.#delay() + random.upTo(slow)
    return new Promise((resolve, reject) => {
      if (this.#events === undefined) return reject(new Error('closed'))
      this.#unsettled.add(reject)
      const answer = (value: T | Error): void => {
        clock.after(this.#delay() + random.upTo(slow), () => {
          this.#unsettled.delete(reject)
          if (value instanceof Error) reject(value)
          else resolve(value)
        })
      }
      const obey = (): void => {
        if (this.#events === undefined) return
        if (fault?.kind === 'refused') return answer(new Error('refused'))
        if (room !== undefined && this.#cut) {
          if (call === 'unsubscribe' || random.chance(0.5)) this.#waiting.push(obey)
          else answer(new Error('the link is cut'))
          return
        }
        const value = effect()
        if (fault?.kind === 'silent') return
        answer(fault?.kind === 'unanswered' ? new Error('the answer was lost') : value)
      }
      let at = clock.time + there
      if (room !== undefined) this.#obeyed.set(room, at = Math.max(at, this.#obeyed.get(room) ?? 0))
      clock.at(at, obey)
    })
  }
}

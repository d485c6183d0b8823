import type { Cursor } from '../../../lib/cursor.js'
import type { Link, LinkEvents, Numbered } from '../../../lib/brokers/link.js'
import type { Clock, Random } from '../clock.js'
import { parseCursor } from '../../../lib/cursor.js'

/** What carries payloads between the servers: at once, in one order, to whoever is subscribed at that moment. */
export class Carrier {
  readonly clock: Clock
  readonly random: Random
  readonly links = new Set<SimulatedLink>()
  readonly #keys = new Map<string, string>()
  /** Called with every payload that is carried. */
  onPublish: (room: string, payload: string) => void = () => {}

  constructor (clock: Clock, random: Random) {
    this.clock = clock
    this.random = random
  }

  publish (room: string, payload: string): void {
    this.onPublish(room, payload)
    for (const link of this.links) link.carry(room, payload)
  }

  /** As the script does: a key is taken once, and whoever took it may send again. */
  send (room: string, { id, payload, unused, key }: Numbered): string {
    const name = key === undefined ? undefined : JSON.stringify([room, key])
    const first = name === undefined ? id : this.#keys.get(name) ?? id
    if (name !== undefined) this.#keys.set(name, first)
    this.publish(room, first === id ? payload : unused)
    return first === id ? '' : first
  }
}

/** A server's link, with what can befall it. Payloads come late, and in order. */
export class SimulatedLink implements Link {
  readonly #carrier: Carrier
  readonly #events: LinkEvents
  /** At the carrier. */
  readonly #subscribed = new Set<string>()
  readonly #wanted = new Set<string>()
  readonly #turns = new Map<string, Promise<unknown>>()
  #arrival = 0
  #generation = 0
  #closed = false
  cut = false
  /** Payloads that are still to be dropped on the way here. */
  drop = 0
  /** Answers that are still to be lost; what was asked is carried out, and then again. */
  loseAnswers = 0
  /** Publishes go nowhere. */
  away = false

  constructor (carrier: Carrier, events: LinkEvents) {
    this.#carrier = carrier
    this.#events = events
  }

  async open (): Promise<void> {
    this.#carrier.links.add(this)
  }

  close (): void {
    this.#closed = true
    this.#carrier.links.delete(this)
  }

  async reach (): Promise<void> {
    await this.#way()
    if (this.away || this.cut) throw new Error('away')
  }

  subscribe (room: string, deadline: number): Promise<void> {
    return this.#inTurn(room, () => this.#subscribe(room, deadline))
  }

  unsubscribe (room: string): Promise<void> {
    return this.#inTurn(room, async () => {
      await this.#way()
      this.#wanted.delete(room)
      this.#subscribed.delete(room)
    })
  }

  #inTurn (room: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(room) ?? Promise.resolve()).then(work, work)
    this.#turns.set(room, turn)
    return turn
  }

  async #subscribe (room: string, deadline: number): Promise<void> {
    this.#wanted.add(room)
    await this.#way()
    for (;;) {
      while (this.cut && !this.#closed && this.#carrier.clock.time < deadline) await this.#sleep(10)
      if (this.cut || this.#closed) {
        this.#wanted.delete(room)
        throw new Error('away')
      }
      const generation = this.#generation
      this.#subscribed.add(room)
      await this.#arrive()
      if (generation === this.#generation) return
    }
  }

  async send (room: string, number: () => Numbered[], deadline: number): Promise<Array<Cursor | Error | undefined>> {
    const { clock } = this.#carrier
    for (;;) {
      if (this.#closed || clock.time >= deadline) throw new Error('away')
      if (this.away) {
        await this.#sleep(20)
        continue
      }
      const messages = number()
      await this.#way()
      // Given up by now, and carried out all the same.
      const answers = messages.map((message) => this.#carrier.send(room, message))
      await this.#way()
      if (this.loseAnswers > 0) {
        this.loseAnswers--
        await this.#sleep(20)
        continue
      }
      return answers.map((answer) => parseCursor(answer))
    }
  }

  async say (counts: ReadonlyArray<{ room: string, payload: string }>): Promise<void> {
    await this.#way()
    if (this.away || this.#closed) throw new Error('away')
    for (const { room, payload } of counts) this.#carrier.publish(room, payload)
  }

  carry (room: string, payload: string): void {
    if (this.cut || !this.#subscribed.has(room)) return
    if (this.drop > 0) {
      this.drop--
      return
    }
    const generation = this.#generation
    void this.#arrive().then(() => { if (generation === this.#generation && this.#wanted.has(room) && !this.#closed) this.#events.message(room, payload) })
  }

  /** The link breaks: what is on its way is lost. It mends after `delay` ms. */
  break (delay: number): void {
    if (this.cut) return
    this.cut = true
    this.#generation++
    this.#subscribed.clear()
    if (!this.#closed) this.#events.broken()
    this.#carrier.clock.after(delay, () => {
      this.cut = false
      for (const room of this.#wanted) this.#subscribed.add(room)
      // Payloads may come before all channels are there, and before that is known.
      const generation = this.#generation
      this.#carrier.clock.after(this.#carrier.random.upTo(300), () => {
        void this.#arrive().then(() => { if (generation === this.#generation && !this.#closed) this.#events.mended() })
      })
    })
  }

  #way (): Promise<void> {
    return this.#sleep(this.#carrier.random.upTo(3))
  }

  #sleep (delay: number): Promise<void> {
    return new Promise((resolve) => { this.#carrier.clock.after(delay, resolve) })
  }

  #arrive (): Promise<void> {
    const { clock, random } = this.#carrier
    this.#arrival = Math.max(this.#arrival, clock.time + random.upTo(5))
    return new Promise((resolve) => { clock.at(this.#arrival, resolve) })
  }
}

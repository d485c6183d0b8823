import type { Member } from '../../types/index.js'
import type { Rooms } from '../rooms/rooms.js'
import type { Directory } from './directory.js'
import type { Part } from './messages.js'
import { asFanOutError, errors, retryAfter } from '../errors.js'
import { PATIENCE } from './messages.js'

interface Ask {
  readonly members: Member[]
  readonly answered: Set<string>
  /** Set when the question has come back to us: who has not answered then is waited for. */
  waiting: Set<string> | undefined
  settle (error?: Error): void
}

interface Flight { answer: Promise<Member[]>, next: Promise<Member[]> | undefined }

/** Asks all other servers who is in a room. */
export class Asks {
  readonly #rooms: Rooms
  readonly #directory: Directory
  readonly #asks = new Map<number, Ask>()
  readonly #flights = new Map<string, Flight>()
  #count = 0

  constructor (rooms: Rooms, directory: Directory) {
    this.#rooms = rooms
    this.#directory = directory
  }

  /** One question a room at a time, and the next for all who come meanwhile: nobody is answered by one that was asked before. */
  members (room: string): Promise<Member[]> {
    const flight = this.#flights.get(room)
    if (flight === undefined) return this.#fly(room)
    flight.next ??= flight.answer.then(() => this.#fly(room), () => this.#fly(room))
    return flight.next
  }

  #fly (room: string): Promise<Member[]> {
    const flight: Flight = { answer: this.#ask(room), next: undefined }
    const end = (): void => { if (this.#flights.get(room) === flight) this.#flights.delete(room) }
    this.#flights.set(room, flight)
    flight.answer.then(end, end)
    return flight.answer
  }

  async #ask (room: string): Promise<Member[]> {
    const id = ++this.#count
    const ask: Ask = { members: [], answered: new Set(), waiting: undefined, settle () {} }
    this.#asks.set(id, ask)
    try {
      const answered = new Promise<void>((resolve, reject) => { ask.settle = (error) => error === undefined ? resolve() : reject(error) })
      const error = await this.#directory.say({ do: 'who', room, ask: id })
      if (error !== undefined) throw asFanOutError(error)
      const cancel = this.#rooms.scheduler.after(PATIENCE, () => {
        // Who did not answer may be dead. But where we did not even hear ourselves, it is we who are cut off.
        ask.settle(ask.waiting === undefined ? retryAfter(new errors.BrokerAway('the other servers could not be asked')) : undefined)
      })
      await answered.finally(cancel)
      return ask.members
    } finally {
      this.#asks.delete(id)
    }
  }

  /** Our question came back. */
  came (id: number): void {
    const ask = this.#asks.get(id)
    if (ask === undefined) return
    ask.waiting = new Set([...this.#directory.peers.keys()].filter((server) => !ask.answered.has(server)))
    if (ask.waiting.size === 0) ask.settle()
  }

  answered (server: string, id: number, parts: Part[]): void {
    const ask = this.#asks.get(id)
    if (ask === undefined) return
    for (const { members, last } of parts) {
      for (const member of members) ask.members.push(member)
      if (last) this.#done(ask, server)
    }
  }

  /** It will not answer any more. */
  lost (server: string): void {
    for (const ask of this.#asks.values()) this.#done(ask, server)
  }

  #done (ask: Ask, server: string): void {
    ask.answered.add(server)
    ask.waiting?.delete(server)
    if (ask.waiting?.size === 0) ask.settle()
  }
}

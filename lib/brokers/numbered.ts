import type { Cursor } from '../cursor.js'
import type { Scheduler } from '../scheduler.js'
import type { Broker, BrokerEvents, Outgoing, Published, ReadRequest, Window } from './broker.js'
import type { Link, LinkEvents, Numbered } from './link.js'
import type { Pending } from './publisher.js'
import { formatCursor, parseCursor } from '../cursor.js'
import { systemScheduler } from '../scheduler.js'
import { Publisher } from './publisher.js'

export interface NumberedOptions {
  link: (events: LinkEvents) => Link
  /** How long any call may take, in ms. */
  timeout: number
  /** How long a start may take, in ms: as long as any call unless told. */
  startTimeout?: number
  scheduler?: Scheduler
}

/** What this server has sent to a room: `last` is the number of the last message. Numbers begin at 1, under an epoch that is drawn with them. */
interface Count {
  readonly epoch: number
  last: number
  /** When the last was sent. */
  at: number
  /** When it is said next, and the pause after that. */
  next: number
  pause: number
}

/** Where a subscribed room stands here. */
interface Standing {
  position: Cursor
  /** When it was subscribed to, or came back after the link was broken. */
  since: number
  /** The link was broken, and nothing has come since. */
  torn: boolean
  /** Of each epoch, so of each server: the last number heard, and when. The one heard least recently comes first. */
  readonly heard: Map<number, { last: number, at: number }>
}

// How often counts are said, jittered, in ms; each again after growing pauses, lest a count be lost with its message.
const BEAT = 1_000
const GROWTH = 4
const LONGEST = 64 * BEAT
// Rooms whose count is remembered. One that was forgotten begins at 1 again, under another epoch: no id is used twice.
const COUNTS = 20_000
// Epochs that are remembered of each room.
const SENDERS = 1_000
// What was sent so soon after a room was joined, in ms, may have been sent before: ways differ, and servers are busy.
const SETTLED = 100

/**
 * A broker over a link that keeps nothing. Each server numbers what it sends to a room, and says at its heartbeats how far
 * it is, so that whoever listens knows what is missing: a number was left out, or a count is above what was heard. Every
 * loss becomes a hole in the room's stream, and so does every break of the link.
 *
 * Of a server that was not heard before, it is unknown what should have come. So each message says how long ago the one
 * before it was sent, and each count how long ago the last: what was sent since the room was joined should have come.
 */
export class NumberedBroker implements Broker {
  readonly windowless = true
  readonly #link: Link
  readonly #timeout: number
  readonly #startTimeout: number
  readonly #scheduler: Scheduler
  readonly #publisher: Publisher
  readonly #counts = new Map<string, Count>()
  readonly #rooms = new Map<string, Standing>()
  /** Where rooms stand that are not subscribed to. */
  readonly #nowhere: Cursor
  #events: BrokerEvents | undefined
  #cancelBeat: (() => void) | undefined

  constructor ({ link, timeout, startTimeout = timeout, scheduler = systemScheduler }: NumberedOptions) {
    this.#timeout = timeout
    this.#startTimeout = startTimeout
    this.#scheduler = scheduler
    this.#nowhere = this.#mark()
    this.#publisher = new Publisher('', timeout, scheduler, (room, batch) => this.#send(room, batch))
    this.#link = link({
      message: (room, payload) => this.#receive(room, payload),
      broken: () => { for (const standing of this.#rooms.values()) standing.torn = true },
      mended: () => { for (const [room, standing] of this.#rooms) if (standing.torn) this.#comeBack(room, standing) }
    })
  }

  async start (events: BrokerEvents): Promise<void> {
    this.#events = events
    await this.#link.open(this.#scheduler.now() + this.#startTimeout)
    this.#beatLater()
  }

  async subscribe (room: string): Promise<Cursor> {
    await this.#link.subscribe(room, this.#deadline())
    let standing = this.#rooms.get(room)
    if (standing === undefined) this.#rooms.set(room, standing = { position: this.#mark(), since: this.#scheduler.now(), torn: false, heard: new Map() })
    return standing.position
  }

  async unsubscribe (room: string): Promise<void> {
    await this.#link.unsubscribe(room)
    this.#rooms.delete(room)
  }

  async publish (messages: readonly Outgoing[]): Promise<Array<Published | Error>> {
    return await Promise.all(messages.map((message) => this.#publisher.publish(message)))
  }

  async read (room: string, { since }: ReadRequest): Promise<Window> {
    const position = this.#position(room)
    return { entries: since === undefined ? [] : [{ type: 'gap', id: position, reason: 'expired' }], start: position, position, more: false }
  }

  async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
    const positions = rooms.map(({ room }) => this.#position(room))
    await this.#link.reach(this.#deadline())
    return positions
  }

  async close (): Promise<void> {
    this.#events = undefined
    this.#cancelBeat?.()
    this.#link.close()
  }

  #deadline (): number {
    return this.#scheduler.now() + this.#timeout
  }

  #newEpoch (): number {
    return 1 + Math.floor(this.#scheduler.random() * (2 ** 48 - 1))
  }

  /** A position that is no message's, nor any other's. */
  #mark (): Cursor {
    return { epoch: this.#newEpoch(), offset: 0 }
  }

  #position (room: string): Cursor {
    return this.#rooms.get(room)?.position ?? this.#nowhere
  }

  #countOf (room: string): Count {
    const count = this.#counts.get(room) ?? { epoch: this.#newEpoch(), last: 0, at: 0, next: Infinity, pause: BEAT }
    // The one used least recently comes first.
    this.#counts.delete(room)
    this.#counts.set(room, count)
    if (this.#counts.size > COUNTS) this.#counts.delete(this.#counts.keys().next().value as string)
    return count
  }

  async #send (room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
    const count = this.#countOf(room)
    const ids = batch.map((_, i) => ({ epoch: count.epoch, offset: count.last + 1 + i }))
    let numbered = false
    const number = (): Numbered[] => {
      numbered = true
      return batch.map(({ text, idempotencyKey }, i) => {
        const id = formatCursor(ids[i] as Cursor)
        const head = `${id} ${i === 0 ? this.#age(count) : 0}`
        return { id, payload: `m ${head} ${text}`, unused: `s ${head} `, key: idempotencyKey }
      })
    }
    try {
      const earlier = await this.#link.send(room, number, Math.max(...batch.map(({ deadline }) => deadline)))
      return ids.map((id, i) => {
        const first = earlier[i]
        return first instanceof Error ? first : { id: first ?? id, duplicate: first !== undefined }
      })
    } catch (error) {
      return batch.map(() => error as Error)
    } finally {
      // What was given up has its number for good: it may have been sent, or be sent yet.
      if (numbered) Object.assign(count, { last: count.last + batch.length, at: this.#scheduler.now(), next: 0, pause: BEAT })
    }
  }

  #age ({ at }: Count): number {
    return Math.round(this.#scheduler.now() - at)
  }

  #beatLater (): void {
    this.#cancelBeat?.()
    if (this.#events === undefined) return
    this.#cancelBeat = this.#scheduler.after(BEAT * (0.75 + 0.5 * this.#scheduler.random()), () => {
      void this.#beat().finally(() => this.#beatLater())
    })
  }

  async #beat (): Promise<void> {
    const now = this.#scheduler.now()
    const due = [...this.#counts].filter(([, { next }]) => next <= now)
    for (const [, count] of due) {
      count.next = count.pause > LONGEST ? Infinity : now + count.pause
      count.pause *= GROWTH
    }
    const counts = due.map(([room, count]) => ({ room, payload: `c ${count.epoch}-${count.last} ${this.#age(count)} ` }))
    // What could not be said is said at the next one.
    if (counts.length > 0) await this.#link.say(counts, this.#deadline()).catch(() => { for (const [, count] of due) count.next = 0 })
  }

  #receive (room: string, payload: string): void {
    const standing = this.#rooms.get(room)
    const [kind, idEnd] = [payload[0], payload.indexOf(' ', 2)]
    const ageEnd = payload.indexOf(' ', idEnd + 1)
    const id = parseCursor(payload.slice(2, idEnd))
    if (standing === undefined || id === undefined || (kind !== 'm' && kind !== 's' && kind !== 'c')) return
    // Its channel is there before all are, and what was lost came before this.
    if (standing.torn) this.#comeBack(room, standing)
    const { heard, since } = standing
    const now = this.#scheduler.now()
    const known = heard.get(id.epoch)
    if (known !== undefined && id.offset <= known.last) {
      // A repeat. What is confirmed need not be judged by its age any more.
      if (id.offset === known.last) known.at = now
      return
    }
    heard.delete(id.epoch)
    heard.set(id.epoch, { last: id.offset, at: now })
    if (heard.size > SENDERS) heard.delete(heard.keys().next().value as number)

    // What should have come before this.
    const due = kind === 'c' ? id.offset : id.offset - 1
    const heardSince = known !== undefined && known.at >= since
    const dueSince = now - Number(payload.slice(idEnd + 1, ageEnd)) > since + SETTLED
    if (due > (known?.last ?? 0) && (heardSince || dueSince)) this.#lose(room, standing)
    if (kind !== 'm') return
    const previous = standing.position
    standing.position = id
    this.#events?.message(room, { type: 'message', id, previous, text: payload.slice(ageEnd + 1) })
  }

  #comeBack (room: string, standing: Standing): void {
    standing.torn = false
    standing.since = this.#scheduler.now()
    this.#lose(room, standing)
  }

  /** Puts a hole into the room's stream, before whatever comes next. */
  #lose (room: string, standing: Standing): void {
    const previous = standing.position
    standing.position = this.#mark()
    this.#events?.message(room, { type: 'gap', id: standing.position, previous, reason: 'expired' })
  }
}

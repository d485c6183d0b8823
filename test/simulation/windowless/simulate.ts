import type { Cursor } from '../../../lib/cursor.js'
import type { Batch } from '../../../lib/message.js'
import type { From } from '../../../lib/rooms/catch-up.js'
import type { Sink, Subscribed, Subscriber } from '../../../lib/rooms/subscriber.js'
import process from 'node:process'
import { NumberedBroker } from '../../../lib/brokers/numbered.js'
import { formatCursor, parseCursor, sameCursor } from '../../../lib/cursor.js'
import { Rooms } from '../../../lib/rooms/rooms.js'
import { Clock, Random } from '../clock.js'
import { Carrier, SimulatedLink } from './link.js'

const TIMEOUT = 2_000
const ROOMS = ['a', 'b']
/** How long after joining or mending a drop may go unnoticed, with the way to go. */
const UNSURE = 130
/** In which the last loss is told: a heartbeat that was lost itself, and the next. */
const REST = 12_000

const log = { error () {}, warn () {}, info () {} }

class Server {
  readonly rooms: Rooms
  readonly broker: NumberedBroker
  link!: SimulatedLink
  /** When it joined a room, or its link mended: what was sent just after may be missed where it was dropped. */
  readonly unsure: number[] = []

  constructor (carrier: Carrier, tail: number) {
    const { clock } = carrier
    this.broker = new NumberedBroker({
      timeout: TIMEOUT * 0.95,
      scheduler: clock,
      link: ({ message, broken, mended }) => {
        this.link = new SimulatedLink(carrier, { message, broken, mended: () => { this.unsure.push(clock.time); mended() } })
        return this.link
      }
    })
    const limits = { tail: { bytes: 1_000_000, messages: tail, maxAge: Infinity }, page: 100, replay: undefined, inbox: 100, slice: 3 }
    this.rooms = new Rooms({ broker: this.broker, log, scheduler: clock, linger: 500, timeout: TIMEOUT, limits })
    void this.rooms.start()
  }
}

/** One subscription, and what it was told, over what its client was told before. */
class Subscription implements Sink {
  readonly entries: Array<{ gap: boolean, id: Cursor, text: string }>
  answer: Subscribed | undefined
  since: number = Infinity
  joined: Subscriber | undefined
  over = false
  readonly #world: World
  readonly #from: From
  readonly #pace: number

  constructor (world: World, from: From, pace: number, before: Subscription['entries']) {
    this.#world = world
    this.#from = from
    this.#pace = pace
    this.entries = before
  }

  subscribed (answer: Subscribed): void {
    this.answer = answer
    this.since = this.#world.clock.time
    this.#world.say(`subscribed at ${formatCursor(answer.id)}, recovered ${answer.recovered}`)
    const resumes = typeof this.#from.since === 'object'
    if (answer.recovered !== (resumes ? false : undefined) || answer.replayed !== 0) this.#world.wrong('nothing is kept, and all the same something was promised')
  }

  write (batch: Batch): boolean {
    if (this.over) return true
    if (this.entries.length > 1_000) throw new Error('this client is written to without an end')
    for (const entry of batch.entries) {
      const first = this.entries.length === 0 && typeof this.#from.since === 'object'
      if (first && entry.type !== 'gap') this.#world.wrong('resumed without a gap')
      this.#world.say(`gets ${entry.type} ${formatCursor(entry.id)}`)
      this.entries.push({ gap: entry.type === 'gap', id: entry.id, text: entry.type === 'message' ? entry.text : '' })
    }
    if (this.#pace === 0) return true
    this.#world.clock.after(this.#pace, () => this.joined?.resume())
    return false
  }

  snapshot (): boolean { return true }
  ended (): void { this.over = true }
}

class Client {
  subscription: Subscription | undefined
  server: Server | undefined
  readonly room: string
  /** Kept where it comes back with its cursor. */
  cursor: Cursor | undefined

  constructor (room: string) {
    this.room = room
  }

  leave (): void {
    if (this.subscription === undefined) return
    this.cursor = this.subscription.entries.at(-1)?.id ?? this.subscription.answer?.id ?? this.cursor
    this.subscription.over = true
    this.subscription.joined?.leave()
    this.subscription = undefined
  }
}

class World {
  readonly story: string[] = []
  readonly random: Random
  readonly clock: Clock
  readonly carrier: Carrier
  readonly servers: Server[]
  readonly clients: Client[]
  /** Every message, when it was first carried, and to which room. */
  readonly carried = new Map<string, { at: number, room: string, text: string }>()
  readonly acknowledged = new Set<string>()
  readonly #keys = new Map<string, string>()
  /** Whether anything goes wrong at all. */
  readonly troubled: boolean
  dropped = false
  failed: string | undefined
  #texts = 0

  constructor (seed: number) {
    this.random = new Random(seed)
    this.clock = new Clock(new Random(seed + 1))
    this.carrier = new Carrier(this.clock, this.random)
    this.carrier.onPublish = (room, payload) => {
      const [kind, id, , text] = payload.split(' ') as [string, string, string, string]
      if (kind === 'm' && !this.carried.has(id)) this.carried.set(id, { at: this.clock.time, room, text })
    }
    this.troubled = this.random.chance(0.8)
    // Where nothing else goes wrong, nobody is to be too slow either.
    const tail = this.troubled ? 1 + this.random.upTo(20) : 1_000
    this.servers = Array.from({ length: 1 + this.random.upTo(2) }, () => new Server(this.carrier, tail))
    this.clients = Array.from({ length: 1 + this.random.upTo(4) }, () => new Client(this.pick(ROOMS)))
  }

  say (what: string): void { this.story.push(`${this.clock.time.toFixed(1)}: ${what}`) }

  wrong (what: string): void {
    this.say(`WRONG: ${what}`)
    this.failed ??= what
  }

  pick<T> (values: readonly T[]): T { return values[this.random.upTo(values.length - 1)] as T }

  publish (server: Server): void {
    const messages = Array.from({ length: 1 + this.random.upTo(2) }, () => ({
      room: this.pick(ROOMS),
      text: String(++this.#texts),
      ...(this.random.chance(0.3) && { idempotencyKey: String(this.random.upTo(5)) })
    }))
    void server.rooms.publish(messages).then((results) => {
      for (const [i, result] of results.entries()) {
        const { room, text, idempotencyKey } = messages[i]!
        this.say(`published ${text} to ${room}: ${result instanceof Error ? result.message : formatCursor(result.id)}`)
        if (result instanceof Error) continue
        const id = formatCursor(result.id)
        this.acknowledged.add(id)
        const truth = this.carried.get(id)
        if (truth === undefined) this.wrong(`${id} was acknowledged, and never sent`)
        else if (!result.duplicate && truth.text !== text) this.wrong(`${id} is ${truth.text}, not ${text}`)
        const key = `${room} ${idempotencyKey}`
        if (idempotencyKey !== undefined && (this.#keys.get(key) ?? id) !== id) this.wrong(`the key ${key} has two messages`)
        if (idempotencyKey !== undefined) this.#keys.set(key, id)
      }
    }, () => {})
  }

  subscribe (client: Client, server: Server): void {
    client.leave()
    const from: From = client.cursor !== undefined && this.random.chance(0.7) ? { since: client.cursor } : this.pick<From>([{}, { since: 'earliest' }, { last: 3 }])
    const subscription = new Subscription(this, from, this.random.chance(0.3) ? this.random.upTo(50) : 0, [])
    client.subscription = subscription
    client.server = server
    server.rooms.subscribe(client.room, subscription, from).then((joined) => {
      subscription.joined = joined
      if (subscription.over) joined.leave()
    }, () => { if (client.subscription === subscription) client.subscription = undefined })
  }

  /** Holds what the clients that are connected were told against what was sent. `rested`: nothing is on its way any more. */
  check (rested: boolean): void {
    for (const { subscription, server, room } of this.clients) {
      if (subscription?.answer === undefined || subscription.over) continue
      const { entries, since } = subscription
      const last = new Map<number, number>()
      for (const { gap, id, text } of entries) {
        if (gap) continue
        if (id.offset <= (last.get(id.epoch) ?? 0)) this.wrong(`${formatCursor(id)} after ${last.get(id.epoch)}`)
        last.set(id.epoch, id.offset)
        const truth = this.carried.get(formatCursor(id))
        if (truth?.room !== room || truth.text !== text) this.wrong(`${formatCursor(id)} is not what was sent`)
      }
      if (!rested) continue
      const unsure = [since, ...(server as Server).unsure]
      for (const name of this.acknowledged) {
        const { at, room: of } = this.carried.get(name)!
        const id = parseCursor(name) as Cursor
        if (of !== room || at < since || entries.some((entry) => !entry.gap && sameCursor(entry.id, id))) continue
        if (this.dropped && unsure.some((time) => at > time - UNSURE && at < time + UNSURE)) continue
        const before = entries.findLastIndex((entry) => !entry.gap && entry.id.epoch === id.epoch && entry.id.offset < id.offset)
        const after = entries.findIndex((entry) => !entry.gap && entry.id.epoch === id.epoch && entry.id.offset > id.offset)
        if (!entries.some(({ gap }, i) => gap && i > before && (after < 0 || i < after))) this.wrong(`${name} was acknowledged, is missing, and no gap tells it`)
      }
    }
  }
}

/** Lets things happen, by chance from the seed, and holds the end against the truth. Answers what was wrong, and the story of it. */
export async function simulate (seed: number): Promise<{ wrong: string, story: string[] } | undefined> {
  const world = new World(seed)
  const { random, clock } = world
  const unhandled = (error: unknown): void => world.wrong(`unhandled rejection: ${String(error)}`)
  process.on('unhandledRejection', unhandled)
  const { troubled } = world
  const drops = random.chance(0.5)
  let gaps = 0
  try {
    for (const client of world.clients) world.subscribe(client, world.pick(world.servers))
    for (let i = 0; i < 40 && world.failed === undefined; i++) {
      const server = world.pick(world.servers)
      const { link } = server
      const trouble = troubled ? random.upTo(7) : 99
      if (random.chance(0.6)) world.publish(server)
      else if (random.chance(0.3)) world.subscribe(world.pick(world.clients), server)
      else if (random.chance(0.1)) world.pick(world.clients).leave()
      else if (trouble === 0) link.break(random.upTo(random.chance(0.2) ? 3_000 : 50))
      else if (trouble === 1) link.loseAnswers = 1 + random.upTo(2)
      else if (trouble === 2) {
        link.away = true
        clock.after(random.upTo(random.chance(0.3) ? 4_000 : 100), () => { link.away = false })
      } else if (trouble <= 5 && drops) {
        world.dropped = true
        link.drop = 1 + random.upTo(1)
      }
      if (random.chance(0.1)) {
        await clock.advance(REST)
        world.check(true)
      }
      await clock.advance(random.chance(0.1) ? random.upTo(90_000) : random.chance(0.3) ? random.upTo(300) : random.upTo(10))
      world.check(false)
      if (!troubled) gaps += world.clients.filter(({ subscription }) => subscription?.entries.some(({ gap }, i) => gap && i > 0)).length
    }
    await clock.advance(REST)
    world.check(true)
    if (gaps > 0) world.wrong('a gap, though nothing was lost')
    for (const client of world.clients) client.leave()
    for (const { rooms } of world.servers) void rooms.close()
    await clock.advance(TIMEOUT + 10_000)
    if (clock.pending > 0) world.wrong(`${clock.pending} timers are left behind`)
  } catch (error) {
    world.wrong((error as Error).stack ?? String(error))
  } finally {
    process.off('unhandledRejection', unhandled)
  }
  return world.failed === undefined ? undefined : { wrong: world.failed, story: world.story }
}

import type { FastifyInstance } from 'fastify'
import type { Socket } from 'node:net'
import type { Payload, Setting, Step } from './schedule.js'
import type { Published, Reader } from './reader.js'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import fanOut from '../../../index.js'
import { Rooms } from '../../../lib/rooms/rooms.js'
import { until } from '../../helpers.js'
import { assertInOrder, Place } from './place.js'
import { SocketReader, StreamReader } from './reader.js'

const KiB = 1024
/** Messages received, subscribes that were continued from a cursor, and clients that were cut off. */
export interface Tally { messages: number, resumes: number, tooSlow: number }

// What a replay may leave unsent beside the live stream: 256 KiB, and a piece, which ends with the message that fills it.
const REPLAY = (256 + 64 + 160) * KiB

// The slice is no option of an app's: it is set where the rooms start.
const start = Rooms.prototype.start
function useSlice (slice: number): void {
  Rooms.prototype.start = function () {
    Object.assign(this.limits, { slice })
    return start.call(this)
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A server, its clients, and all that was published. */
export class Stage {
  readonly published: Published = []
  /** What is held against the rules at once, because it is gone later. */
  readonly #wrongs: string[] = []
  readonly #setting: Setting
  readonly #app: FastifyInstance
  readonly #address: string | { port: number }
  readonly #places: Place[]
  readonly #publishing: Array<Promise<unknown>> = []

  private constructor (setting: Setting, app: FastifyInstance, address: string | { port: number }) {
    this.#setting = setting
    this.#app = app
    this.#address = address
    this.#places = setting.clients.map((client) => new Place(client))
    app.server.on('connection', (socket) => this.#watch(socket))
  }

  /** Runs the steps; resolves when all that was promised is seen to be kept. `tally` counts what there was to see. */
  static async run (setting: Setting, steps: Step[], tally: Tally): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'joined-'))
    const app = Fastify()
    let stage: Stage | undefined
    useSlice(setting.slice)
    try {
      await app.register(fanOut, {
        clientPublish: true,
        authorize: () => true,
        compression: setting.compression,
        // Nothing is lost for any other reason than slowness, and then it is still in the window.
        history: { size: 100_000, bytes: 1e9 },
        limits: { queue: setting.queue, frame: 1024 * KiB, framesPerSecond: 1e6, batch: 1_000 },
        close: { timeout: 0 }
      })
      const path = join(folder, 'socket')
      await app.listen(setting.over === 'unix' ? { path } : { host: '127.0.0.1', port: 0 })
      stage = new Stage(setting, app, setting.over === 'unix' ? path : { port: (app.server.address() as { port: number }).port })
      for (const [client, { rooms }] of setting.clients.entries()) for (const room of rooms) await stage.#perform({ do: 'subscribe', client, room, since: 'nothing' })
      for (const step of steps) await stage.#perform(step)
      await stage.#prove(tally)
    } finally {
      stage?.leave()
      await app.close()
      await rm(folder, { recursive: true })
    }
  }

  /** Each write of the server, where it is made: how much is unsent behind it. */
  #watch (socket: Socket): void {
    const write = socket.write.bind(socket) as (...parameters: unknown[]) => boolean
    let largest = 0
    socket.write = ((chunk: Buffer | string, ...rest: unknown[]) => {
      largest = Math.max(largest, chunk.length)
      const most = this.#setting.queue + largest + REPLAY
      const result = write(chunk, ...rest)
      if (socket.writableLength > most) this.#wrongs.push(`${socket.writableLength} bytes are unsent, with a limit of ${this.#setting.queue}, and a write of ${largest} at most`)
      return result
    }) as Socket['write']
  }

  #room (n: number): string {
    return `room-${n % this.#setting.rooms}`
  }

  /** A text that is like no other. */
  #text (room: string, { size, pad }: Payload): string {
    const n = this.published.length
    const unit = pad === 'noise' ? createHash('shake256', { outputLength: size }).update(String(n)).digest('base64').slice(0, size) : pad.repeat(size / Buffer.byteLength(pad))
    const text = size < 20 ? String(n) : JSON.stringify({ n, pad: unit })
    this.published.push({ room, text })
    return text
  }

  async #perform (step: Step): Promise<void> {
    if (step.do === 'publish') return this.#publish(step)
    if (step.do === 'wait') {
      for (let n = 0; n < step.turns; n++) await turn()
      return
    }
    const place = this.#places[step.client % this.#places.length] as Place
    const { reader } = place
    if (step.do === 'subscribe') this.#subscribe(place, this.#room(step.room), step.since)
    else if (step.do === 'return') this.#return(place)
    else if (step.do === 'leave') place.leave()
    else if (step.do === 'pause' || step.do === 'read') reader?.pause(step.do === 'pause')
    else if (reader instanceof SocketReader && step.do === 'unsubscribe') reader.ask(this.#room(step.room), { type: 'unsubscribe' })
    else if (reader instanceof SocketReader && step.do === 'ask') {
      const room = this.#room(step.room)
      for (let n = 0; n < step.pings; n++) reader.ping()
      if (!reader.closed) reader.ask(room, { type: 'publish' }, this.#text(room, step.payload))
    }
  }

  #publish ({ how, entries }: Extract<Step, { do: 'publish' }>): void {
    const messages = entries.map(({ room: n, ...payload }) => {
      const room = this.#room(n)
      return { room, data: JSON.parse(this.#text(room, payload)) as unknown }
    })
    const { rooms } = this.#app
    if (how === 'batch') this.#publishing.push(rooms.publishMany(messages))
    else for (const { room, data } of messages) this.#publishing.push(rooms.publish(room, data))
  }

  #subscribe (place: Place, room: string, from: 'nothing' | 'last' | 'earliest'): void {
    const since = from === 'earliest' ? from : from === 'last' ? place.reader?.last(room) : undefined
    if (place.kind !== 'events') return (this.#open(place) as SocketReader).ask(room, { type: 'subscribe', since })
    // A stream is of one room: another takes its place, and cannot ask for the earliest, which is no id.
    place.leave()
    place.take(new StreamReader(this.#address, this.published, room, since === 'earliest' ? undefined : since))
  }

  #open (place: Place): Reader {
    if (place.reader === undefined || place.reader.closed) place.take(new SocketReader(this.#address, this.published, place.kind === 'deflate'))
    return place.reader as Reader
  }

  /** A client that was cut off comes back with what it has. */
  #return (place: Place): void {
    for (const [room, since] of place.lost) {
      if (place.kind === 'events') place.take(new StreamReader(this.#address, this.published, room, since))
      else (this.#open(place) as SocketReader).ask(room, { type: 'subscribe', since })
    }
  }

  async #prove (tally: Tally): Promise<void> {
    await Promise.all(this.#publishing)
    for (const { reader } of this.#places) reader?.pause(false)
    await this.#until('everybody to be back')
    const truth = await this.#truth()
    await this.#until('everybody to have everything', truth)
    // Anything more would come before the answer to a ping.
    for (const { reader } of this.#places) if (reader instanceof SocketReader) reader.ping()
    await this.#until('the last pongs', truth)

    this.#assertOrder(truth)
    assert.deepEqual(this.#wrongs, [])
    const readers = this.#places.flatMap(({ readers }) => readers)
    const cutOff = readers.filter(({ closed, left }) => closed && !left)
    assert.ok(cutOff.every((reader) => reader.cutOff), 'who is closed is closed for being too slow')
    assert.ok(cutOff.length <= this.#app.rooms.stats().slow, `${cutOff.length} were cut off, of whom ${this.#app.rooms.stats().slow} were too slow`)
    tally.messages += readers.reduce((sum, { sessions }) => sum + sessions.reduce((sum, { ids }) => sum + ids.length, 0), 0)
    tally.resumes += readers.reduce((sum, { sessions }) => sum + sessions.filter(({ since, ids }) => since !== undefined && ids.length > 0).length, 0)
    tally.tooSlow += cutOff.length
  }

  /** Waits until each client has its answers, and what is the truth. Those that were cut off come back, as often as they must; of those that are gone nothing is left that may yet publish. */
  async #until (what: string, truth: Map<string, string[]> = new Map()): Promise<void> {
    const behind = (): string[] => this.#places.flatMap((place) => place.behind(truth))
    await until(() => {
      for (const { wrong } of this.#places.flatMap(({ readers }) => readers)) if (wrong !== undefined) throw wrong
      for (const place of this.#places) this.#return(place)
      const { websocket, events } = this.#app.rooms.stats().connections
      const there = this.#places.filter(({ reader }) => reader?.closed === false)
      return this.#places.every(({ settled }) => settled) && websocket + events === there.length && behind().length === 0
    }, what).catch((error: Error) => {
      // What came twice, or out of order, explains more than what did not come.
      this.#assertOrder(truth)
      throw new Error(`${error.message}; ${behind().join(', ')}`, { cause: error })
    })
  }

  #assertOrder (truth: Map<string, string[]>): void {
    for (const { readers } of this.#places) {
      for (const session of readers.flatMap(({ sessions }) => sessions)) {
        const history = truth.get(session.room)
        if (history !== undefined) assertInOrder(session, history)
      }
    }
  }

  /** The ids of each room, as its history has them. */
  async #truth (): Promise<Map<string, string[]>> {
    const truth = new Map<string, string[]>()
    for (let n = 0; n < this.#setting.rooms; n++) {
      const ids: string[] = []
      for (let since: string | undefined, more = true; more;) {
        const page = await this.#app.rooms.history(this.#room(n), { limit: 1_000, ...(since !== undefined && { since }) })
        ids.push(...page.messages.map(({ id }) => id))
        since = page.id
        more = page.more
      }
      truth.set(this.#room(n), ids)
    }
    return truth
  }

  leave (): void {
    for (const place of this.#places) place.leave()
  }
}

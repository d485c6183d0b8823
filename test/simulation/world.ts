import type { Cursor } from '../../lib/cursor.js'
import type { From } from '../../lib/rooms/catch-up.js'
import type { Server } from './client.js'
import type { Setting } from './schedule.js'
import { Rooms } from '../../lib/rooms/rooms.js'
import { Adaptor, Cluster } from './broker.js'
import { Client } from './client.js'
import { Clock, Random } from './clock.js'
import { Record, show } from './oracle.js'

/** How long a room without subscribers is kept, and how long a caller waits for the broker, in ms. */
export const LINGER = 2_000
export const TIMEOUT = 2_000
/** Of one message in a tail, in bytes: see `Message.size`, for a text of four characters. */
const MESSAGE = 208

const log = { error () {}, warn () {}, info () {} }

export class SimulatedServer implements Server {
  readonly known = new Map<string, Cursor>()
  readonly adaptor: Adaptor
  readonly rooms: Rooms

  constructor (cluster: Cluster, setting: Setting) {
    this.adaptor = new Adaptor(cluster)
    this.rooms = new Rooms({
      broker: this.adaptor,
      log,
      scheduler: cluster.clock,
      linger: LINGER,
      timeout: TIMEOUT,
      limits: { tail: { bytes: setting.tail * MESSAGE, messages: setting.window, maxAge: setting.age }, page: Math.max(1, setting.window - setting.page), replay: setting.page === 0 ? setting.replay : undefined, inbox: setting.troubles === 'none' ? 100 : setting.inbox, slice: setting.slice },
      snapshot: setting.snapshots ? async () => '{}' : undefined
    })
    void this.rooms.start()
  }
}

/** Everything there is: servers, a broker, clients. */
export class World {
  /** What happened, to be read where something was wrong. */
  readonly story: string[] = []
  readonly setting: Setting
  readonly clock: Clock
  readonly cluster: Cluster
  readonly random: Random
  readonly servers: SimulatedServer[]
  readonly clients: Client[]
  #published = 0
  readonly #wrongs: string[] = []

  constructor (setting: Setting) {
    this.setting = setting
    this.random = new Random(setting.chance)
    this.clock = new Clock(new Random(setting.chance + 1))
    this.cluster = new Cluster(this.clock, this.random, setting.window)
    this.servers = Array.from({ length: setting.servers }, () => new SimulatedServer(this.cluster, setting))
    this.clients = Array.from({ length: setting.clients }, (_, i) => {
      const room = this.room(i)
      const name = `client ${i}`
      const wrong = (what: string): void => this.wrong(`${name}: ${what}`)
      const newRecord = (): Record => new Record(this.cluster.history(room), { snapshots: setting.snapshots, replay: setting.replay, whole: setting.page === 0, ages: setting.age !== Infinity, wrong })
      return new Client(name, room, this.clock, newRecord, (what) => this.say(what))
    })
  }

  say (what: string): void {
    this.story.push(`${this.clock.time.toFixed(3)}: ${what}`)
  }

  wrong (what: string): void {
    this.say(`WRONG: ${what}`)
    this.#wrongs.push(what)
  }

  /** Lets time pass; throws at the first thing that went wrong. */
  async advance (duration: number): Promise<void> {
    await this.clock.advance(duration)
    const [wrong] = this.#wrongs
    if (wrong !== undefined) throw new Error(wrong)
  }

  room (room: number): string {
    return `room ${room % this.setting.rooms}`
  }

  /** Texts of one length, so that a tail holds as many messages as it is said to. */
  text (): string {
    return String(1_000 + this.#published++)
  }

  publish ({ rooms }: SimulatedServer, room: string, count: number): void {
    const messages = Array.from({ length: count }, () => ({ room, text: this.text() }))
    rooms.publish(messages).then((results) => {
      this.say(`published to ${room}: ${results.map((result) => result instanceof Error ? result.message : show(result.id)).join(' ')}`)
    }, () => {})
  }

  subscribe (client: Client, server: SimulatedServer, from: From | 'again', abort?: number): void {
    client.subscribe(server, from, (what) => this.wrong(`${client.name}: ${what}`), abort)
  }

  cut (adaptor: Adaptor, late: boolean, mend: number): void {
    adaptor.cut(late)
    this.clock.after(mend, () => adaptor.mend())
  }

  restart (server: SimulatedServer): void {
    void server.rooms.close()
    this.servers[this.servers.indexOf(server)] = new SimulatedServer(this.cluster, this.setting)
  }

  /** Holds the record of everyone who is connected against the truth. */
  complete (): void {
    for (const client of this.clients) if (client.connected) client.record?.complete()
  }

  /** How often the broker was read from. */
  get reads (): number {
    return this.servers.reduce((sum, { adaptor }) => sum + adaptor.calls.read, 0)
  }
}

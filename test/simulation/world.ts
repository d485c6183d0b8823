import type { Cursor } from '../../lib/cursor.js'
import type { From } from '../../lib/rooms/catch-up.js'
import type { Action, Schedule, Setting } from './schedule.js'
import type { Server } from './client.js'
import process from 'node:process'
import { Rooms } from '../../lib/rooms/rooms.js'
import { Adaptor, Cluster } from './broker.js'
import { Client } from './client.js'
import { Clock, Random } from './clock.js'
import { Record, show } from './oracle.js'

const LINGER = 2_000
const TIMEOUT = 2_000
/** In which everything that is healed must have come to rest: several comparisons, and the latest answer. */
const REST = 30_000
/** Of one message in a tail, in bytes: see `Message.size`, for a text of four characters. */
const MESSAGE = 208

const log = { error () {}, warn () {}, info () {} }

class SimulatedServer implements Server {
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
      limits: { tail: setting.tail * MESSAGE, page: Math.max(1, setting.window - setting.page), replay: setting.page === 0 ? setting.replay : undefined, inbox: setting.inbox },
      snapshot: setting.snapshots ? async () => '{}' : undefined
    })
    void this.rooms.start()
  }
}

/** Everything there is: servers, a broker, clients. Runs one schedule, and says what was wrong. */
export class World {
  /** What happened, to be read where something was wrong. */
  readonly story: string[] = []
  readonly #setting: Setting
  readonly #clock: Clock
  readonly #cluster: Cluster
  readonly #random: Random
  readonly #servers: SimulatedServer[]
  readonly #clients: Client[]
  #published = 0
  #wrongs: string[] = []

  constructor (setting: Setting) {
    this.#setting = setting
    this.#random = new Random(setting.chance)
    this.#clock = new Clock(new Random(setting.chance + 1))
    this.#cluster = new Cluster(this.#clock, this.#random, setting.window)
    this.#servers = Array.from({ length: setting.servers }, () => new SimulatedServer(this.#cluster, setting))
    this.#clients = Array.from({ length: setting.clients }, (_, i) => {
      const room = `room ${i % setting.rooms}`
      const name = `client ${i}`
      const wrong = (what: string): void => this.#wrong(`${name}: ${what}`)
      const newRecord = (): Record => new Record(this.#cluster.history(room), { snapshots: setting.snapshots, replay: setting.replay, whole: setting.page === 0, wrong })
      return new Client(name, room, this.#clock, newRecord, (what) => this.#say(what))
    })
  }

  /** Runs the actions, heals everything, and holds the end against the truth. Throws at the first thing wrong. */
  async run (actions: readonly Action[]): Promise<void> {
    const unhandled = (error: unknown): void => this.#wrong(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`)
    process.on('unhandledRejection', unhandled)
    try {
      for (const action of actions) {
        this.#say(`--- ${JSON.stringify(action)}`)
        this.#perform(action)
        await this.#advance(action.wait)
      }
      await this.#end()
    } finally {
      process.off('unhandledRejection', unhandled)
    }
  }

  #say (what: string): void {
    this.story.push(`${this.#clock.now()}: ${what}`)
  }

  #wrong (what: string): void {
    this.#say(`WRONG: ${what}`)
    this.#wrongs.push(what)
  }

  async #advance (duration: number): Promise<void> {
    await this.#clock.advance(duration)
    const [wrong] = this.#wrongs
    if (wrong !== undefined) throw new Error(wrong)
  }

  #perform (action: Action): void {
    const server = 'server' in action ? this.#servers[action.server % this.#servers.length] as SimulatedServer : undefined
    const client = 'client' in action ? this.#clients[action.client % this.#clients.length] as Client : undefined
    const history = 'room' in action ? this.#cluster.history(this.#room(action.room)) : undefined
    switch (action.do) {
      case 'publish': return this.#publish(server!, this.#room(action.room), action.count)
      case 'subscribe': return this.#subscribe(client!, server!, this.#from(client!, action.from, action.n), action.abort)
      case 'herd':
        for (const client of this.#clients) this.#subscribe(client, server!, 'again')
        return
      case 'drop': return client!.drop()
      case 'stall': client!.stalled = true; return
      case 'block': client!.ready = false; return
      case 'take': return client!.take()
      case 'pace': client!.pace = action.ms; return
      case 'fault': {
        const { call, kind, delay, left } = action
        server!.adaptor.faults.push({ call, kind, delay, left })
        return
      }
      case 'cut': return this.#cut(server!.adaptor, action.late, action.mend)
      case 'skip': return server!.adaptor.skip()
      case 'repeat': return server!.adaptor.repeat()
      case 'lag': server!.adaptor.lag = action.ms; return
      case 'forget': return history!.forget(action.keep)
      case 'reset':
        history!.reset()
        if (action.doubt) for (const { adaptor } of this.#servers) this.#cut(adaptor, false, this.#random.upTo(20))
        return
      case 'fork':
        history!.fork(action.lost, action.flagged)
        if (action.doubt) for (const { adaptor } of this.#servers) this.#cut(adaptor, this.#random.chance(0.5), this.#random.upTo(20))
        return
      case 'restart': return this.#restart(server!)
    }
  }

  #room (room: number): string {
    return `room ${room % this.#setting.rooms}`
  }

  #publish ({ rooms }: SimulatedServer, room: string, count: number): void {
    const messages = Array.from({ length: count }, () => ({ room, text: String(1_000 + this.#published++) }))
    rooms.publish(messages).then((results) => {
      this.#say(`published to ${room}: ${results.map((result) => result instanceof Error ? result.message : show(result.id)).join(' ')}`)
    }, () => {})
  }

  #from ({ cursor, room }: Client, from: (Action & { do: 'subscribe' })['from'], n: number): From | 'again' {
    const { top } = this.#cluster.history(room)
    switch (from) {
      case 'again': return 'again'
      case 'none': return {}
      case 'earliest': return { since: 'earliest' }
      case 'last': return { last: n }
      // It had stored another cursor than its last.
      case 'earlier': return cursor === undefined ? {} : { since: { epoch: cursor.epoch, offset: Math.max(0, cursor.offset - n) } }
      case 'forged': return { since: n < 3 ? { epoch: 2 ** 53 - 1, offset: n } : { epoch: top.epoch, offset: top.offset + n - 2 } }
    }
  }

  #subscribe (client: Client, server: SimulatedServer, from: From | 'again', abort?: number): void {
    client.subscribe(server, from, (what) => this.#wrong(`${client.name}: ${what}`), abort)
  }

  #cut (adaptor: Adaptor, late: boolean, mend: number): void {
    adaptor.cut(late)
    this.#clock.after(mend, () => adaptor.mend())
  }

  #restart (server: SimulatedServer): void {
    void server.rooms.close()
    this.#servers[this.#servers.indexOf(server)] = new SimulatedServer(this.#cluster, this.#setting)
  }

  async #end (): Promise<void> {
    this.#say('--- all is healed')
    for (const { adaptor } of this.#servers) adaptor.heal()
    for (const client of this.#clients) {
      client.pace = 0
      client.take()
    }
    await this.#advance(REST)
    this.#complete()

    this.#say('--- all come back')
    const reads = this.#reads()
    for (const [i, client] of this.#clients.entries()) {
      if (client.cursor !== undefined) this.#subscribe(client, this.#servers[i % this.#servers.length] as SimulatedServer, 'again')
    }
    await this.#advance(TIMEOUT)
    for (const client of this.#clients) if (client.cursor !== undefined && !client.connected) this.#wrong(`${client.name} could not come back`)
    this.#complete()
    // Each may need a read, a further one where a room is behind, and one for every page of the window.
    const most = this.#clients.length * (2 + this.#setting.window)
    if (this.#reads() - reads > most) this.#wrong(`${this.#reads() - reads} reads, for ${this.#clients.length} clients that came back`)

    this.#say('--- all leave')
    for (const client of this.#clients) client.drop()
    await this.#advance(LINGER + 8_000)
    for (const { rooms, adaptor } of this.#servers) {
      if (rooms.size > 0 || adaptor.rooms > 0) this.#wrong(`${rooms.size} rooms are kept, ${adaptor.rooms} at the broker, for nobody`)
      void rooms.close()
    }
    await this.#advance(10_000)
    if (this.#clock.pending > 0) this.#wrong(`${this.#clock.pending} timers are left behind`)
    await this.#advance(0)
  }

  #reads (): number {
    return this.#servers.reduce((sum, { adaptor }) => sum + adaptor.calls.read, 0)
  }

  #complete (): void {
    for (const client of this.#clients) if (client.connected) client.record?.complete()
  }
}

/** Runs a schedule; answers what was wrong, and the story of it. */
export async function simulate ({ setting, actions }: Schedule): Promise<{ wrong: string, story: string[] } | undefined> {
  const world = new World(setting)
  try {
    await world.run(actions)
    return undefined
  } catch (error) {
    return { wrong: (error as Error).message, story: world.story }
  }
}

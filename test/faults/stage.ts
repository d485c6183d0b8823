import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Judge, Outcome, Retained, Verdict } from './oracle.js'
import type { Proxy } from './proxy.js'
import type { StageServer } from './servers.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { newRoom, until } from '../helpers.js'
import { Random } from '../simulation/clock.js'
import { Listener, TRANSPORTS } from './listener.js'
import { judge } from './oracle.js'
import { stageServer } from './servers.js'

export interface StageOptions {
  /** Each is an app of its own in this process, or one that was started elsewhere. */
  servers: Array<FanOutOptions | StageServer>
  /** They are spread over the rooms, the servers and the transports. */
  listeners?: number
  rooms?: number
  seed?: number
  /** For a broker that keeps less. */
  judge?: Judge
}

const REPLY = /Redis refuses: (OOM|WRONGTYPE)/
/** What a deadline that is kept may be late by, on a machine that is busy, in ms. */
export const BUSY = 3_000
// One batch of publishes a room and ms is far from what a server takes.
const MOST = 3

/** Servers on one broker, and listeners who come and go; what is published is remembered, and held against what came. */
export class Stage {
  readonly seed: number
  readonly random: Random
  readonly rooms: string[]
  readonly servers: StageServer[] = []
  readonly listeners: Listener[] = []
  readonly outcomes: Outcome[] = []
  readonly #judge: Judge
  #under = 0

  private constructor (seed: number, rooms: number, judge: Judge) {
    this.seed = seed
    this.#judge = judge
    this.random = new Random(seed)
    this.rooms = Array.from({ length: rooms }, newRoom)
  }

  /** The seed is FAULTS_SEED where that is set. It decides what is done when, not how processes and the network run. */
  static async start (t: Pick<Test, 'teardown' | 'comment'>, { servers, listeners = 24, rooms = 3, seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1e9)), judge: by = judge }: StageOptions): Promise<Stage> {
    const stage = new Stage(seed, rooms, by)
    t.comment(`FAULTS_SEED=${seed}`)
    for (const server of servers) stage.servers.push('publish' in server ? server : await stageServer(t, server))
    // After the servers' own, and so before them: no listener is to see its server close.
    t.teardown(() => stage.close())
    for (let i = 0; i < listeners; i++) stage.come(stage.servers[i % servers.length])
    await stage.settled()
    return stage
  }

  get room (): string { return this.rooms[0] as string }
  get living (): StageServer[] { return this.servers.filter(({ dead }) => dead !== true) }
  get acknowledged (): Outcome[] { return this.outcomes.filter(({ result }) => result === 'acknowledged') }
  get failed (): Outcome[] { return this.outcomes.filter(({ result }) => result === 'refused' || result === 'unknown') }

  pick<T> (from: readonly T[]): T {
    return from[this.random.upTo(from.length - 1)] as T
  }

  /** A new listener. */
  come (server = this.pick(this.living)): Listener {
    const i = this.listeners.length
    const listener = new Listener(`listener ${i}`, this.rooms[i % this.rooms.length] as string, TRANSPORTS[Math.floor(i / this.rooms.length) % TRANSPORTS.length]!)
    this.listeners.push(listener)
    listener.come(server)
    return listener
  }

  /** Who is on a server that is gone goes to another. */
  async moveFrom (gone: StageServer): Promise<void> {
    for (const listener of this.listeners.filter(({ place }) => place === gone)) {
      await listener.leave()
      listener.come(this.pick(this.living))
    }
  }

  /** Waits until everybody is subscribed, somewhere. */
  async settled (timeout = 10_000): Promise<void> {
    await until(() => this.listeners.every(({ subscribed }) => subscribed), `everybody to be subscribed, seed ${this.seed}`, timeout)
  }

  each (what: (proxy: Proxy) => void): void {
    for (const { proxy } of this.servers) if (proxy !== undefined) what(proxy)
  }

  /** Publishes to a room, all at once: on one server, or on all by turns. What is compared is the text without what fills it: often, and of everybody. */
  async publish (count = 1, { server = undefined as StageServer | undefined, room = this.room, filling = '' } = {}): Promise<Outcome[]> {
    return await Promise.all(Array.from({ length: count }, async (_, i) => await this.#publish(server ?? this.living[i % this.living.length]!, room, filling)))
  }

  /** The same in every room, one after the other. */
  async publishEverywhere (count: number, server?: StageServer): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (const room of this.rooms) outcomes.push(...await this.publish(count, { room, server }))
    return outcomes
  }

  async #publish (server: StageServer, room: string, filling: string): Promise<Outcome> {
    const outcome: Outcome = { room, text: String(this.outcomes.length), result: 'pending', at: performance.now(), took: 0 }
    this.outcomes.push(outcome)
    this.#under++
    try {
      outcome.id = (await server.publish(room, outcome.text + filling)).id
      outcome.result = 'acknowledged'
    } catch (error) {
      const { code, message } = error as { code?: string, message: string }
      outcome.error = `${code}: ${message}`
      // Where the broker is away, or the connection broke, nobody knows.
      outcome.result = code?.startsWith('FAN_OUT_ERR_') === true && (code !== 'FAN_OUT_ERR_BROKER_AWAY' || REPLY.test(message)) ? 'refused' : 'unknown'
    }
    this.#under--
    outcome.took = performance.now() - outcome.at
    return outcome
  }

  /** Publishes to all rooms, a few at a time, until the answer is called; that waits for all of them. */
  traffic (most = 20): () => Promise<void> {
    const ends = this.#repeat(async () => {
      await sleep(this.random.upTo(most))
      const server = this.pick(this.living)
      for (const room of this.rooms) void this.publish(this.random.upTo(MOST), { server, room })
    })
    return async () => {
      await ends()
      await until(() => this.#under === 0, 'the end of all publishes', 15_000)
    }
  }

  /** Listeners leave and come back, here or there, and new ones come, until the answer is called; that waits until all are back. */
  churn (most = 60): () => Promise<void> {
    const away = new Set<Promise<void>>()
    let news = Math.ceil(this.listeners.length / 3)
    const ends = this.#repeat(async () => {
      await sleep(this.random.upTo(most))
      if (news-- > 0 && this.random.chance(0.3)) this.come()
      const listener = this.pick(this.listeners)
      if (listener.place === undefined) return
      const back = this.#leaveFor(listener, this.random.upTo(300)).finally(() => away.delete(back))
      away.add(back)
    })
    return async () => {
      await ends()
      await Promise.all(away)
      await this.settled()
    }
  }

  async #leaveFor (listener: Listener, time: number): Promise<void> {
    await listener.leave()
    await sleep(time)
    listener.come(this.pick(this.living))
  }

  /** Traffic and churn while `trouble` goes on; when it resolves both have ended. */
  async busy (trouble: () => Promise<unknown>): Promise<void> {
    const [endTraffic, endChurn] = [this.traffic(), this.churn()]
    try {
      await this.progress(20)
      await trouble()
    } catch (error) {
      // What went wrong first is what is to be told.
      await Promise.allSettled([endTraffic(), endChurn()])
      throw error
    }
    await endTraffic()
    await endChurn()
  }

  /** Waits until so many more publishes are acknowledged, while there is traffic. */
  async progress (count: number, timeout = 15_000): Promise<void> {
    const most = this.acknowledged.length + count
    await until(() => this.acknowledged.length >= most, `${count} more acknowledged, seed ${this.seed}`, timeout)
  }

  #repeat (work: () => Promise<void>): () => Promise<void> {
    const end = new AbortController()
    const done = (async () => { while (!end.signal.aborted) await work() })()
    return async () => {
      end.abort()
      await done
    }
  }

  /** Waits until everybody has every acknowledged message, or was told of it; answers how long that took, in ms. Asks nothing of the broker: it must heal by itself. */
  async healed (timeout = 5_000): Promise<number> {
    const began = performance.now()
    let losses: string[] = []
    await until(() => {
      losses = this.verdict().losses
      return losses.length === 0 && this.listeners.every(({ subscribed }) => subscribed)
    }, 'everybody to be whole', timeout).catch((error: Error) => { throw new Error(`${error.message}, seed ${this.seed}: ${losses.slice(0, 5).join('; ')}`) })
    return performance.now() - began
  }

  /** Everybody in these rooms (or of these listeners) was told, with one of these reasons, at most so often; and what is published from now on reaches everybody. */
  async told (t: Test, reasons: RegExp, { most = 1, rooms = this.rooms, among = this.listeners } = {}): Promise<void> {
    const listeners = among.filter(({ room }) => rooms.includes(room))
    await until(() => listeners.every(({ gaps }) => gaps.length > 0), `everybody to be told, seed ${this.seed}; ${this.state()}`, 5_000)
    for (const room of rooms) await this.publish(4, { room })
    await this.healed()
    t.ok(listeners.every(({ gaps }) => gaps.every(({ reason }) => reasons.test(reason))), `reasons are ${reasons}: ${this.state()}`)
    t.ok(listeners.every(({ gaps }) => gaps.length <= most), `at most ${most} gaps each: ${this.state()}`)
  }

  verdict (retained?: Map<string, Retained>): Verdict {
    const sum: Verdict = { duplicates: [], disorder: [], losses: [], gaps: 0 }
    for (const room of this.rooms) {
      const verdict = this.#judge(this.listeners.filter((listener) => listener.room === room), this.outcomes.filter((outcome) => outcome.room === room), retained?.get(room))
      for (const kind of ['duplicates', 'disorder', 'losses'] as const) sum[kind].push(...verdict[kind])
      sum.gaps += verdict.gaps
    }
    return sum
  }

  /** Who was told what. */
  state (): string {
    return this.listeners.filter(({ gaps }) => gaps.length > 0).map(({ name, gaps }) => `${name}${gaps.map(({ reason, id, from }) => ` ${reason} ${from ?? ''}→${id}`).join('')}`).join(', ')
  }

  async #retained (): Promise<Map<string, Retained>> {
    const { app } = this.living.find(({ app }) => app !== undefined)!
    return new Map(await Promise.all(this.rooms.map(async (room): Promise<[string, Retained]> => {
      const retained: Retained = []
      for (let since: string | undefined, more = true; more;) {
        const page = await app!.rooms.history<string>(room, { limit: 1_000, ...(since !== undefined && { since }) })
        retained.push(...page.messages.map(({ id, data }) => ({ id, text: data.trimEnd() })))
        since = page.id
        more = page.more
      }
      return [room, retained]
    })))
  }

  /** What the oracle says when all is over. The broker may have been the last to learn of a loss: who is to be told of it is given a moment. */
  async end (): Promise<Verdict> {
    let verdict!: Verdict
    const wrong = (): string[] => [...verdict.duplicates, ...verdict.disorder, ...verdict.losses]
    await until(async () => {
      verdict = this.verdict(await this.#retained())
      return wrong().length === 0
    }, 'the oracle to be content', 3_000).catch(() => {})
    return verdict
  }

  /** Nothing twice, nothing out of order, nothing lost in silence; and `gaps: false`: no gap either. */
  async check (t: Test, { gaps }: { gaps: boolean }): Promise<void> {
    const verdict = await this.end()
    for (const kind of ['duplicates', 'disorder', 'losses'] as const) t.equal(verdict[kind].length, 0, `${kind}, seed ${this.seed}: ${verdict[kind].slice(0, 5).join('; ')}`)
    if (!gaps) t.equal(verdict.gaps, 0, `gaps, seed ${this.seed}: ${this.state()}`)
    t.comment(`${this.outcomes.length} published, ${this.acknowledged.length} acknowledged, ${this.failed.length} refused or unknown, ${verdict.gaps} gaps, ${this.listeners.length} listeners`)
  }

  async close (): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.leave()))
  }
}

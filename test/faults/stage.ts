import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Client, Frame } from '../helpers.js'
import { connect, newRoom, startApp, until } from '../helpers.js'
import { Proxy } from './proxy.js'

export interface Outcome { text: string, id: string | undefined, error: string | undefined, at: number, took: number }

interface StageServer { app: FastifyInstance, url: string, proxy: Proxy }

/** Servers, each behind a proxy of its own, with clients that listen to one room; and the oracle. */
export class Stage {
  readonly room = newRoom()
  readonly servers: StageServer[] = []
  readonly clients: Client[] = []
  readonly outcomes: Outcome[] = []
  #published = 0
  #under = 0

  static async start (t: Test, port: number, { servers = 2, clients = 24, options = {} as FanOutOptions, user = '', scheme = 'redis' } = {}): Promise<Stage> {
    const stage = new Stage()
    for (let i = 0; i < servers; i++) {
      const proxy = await Proxy.start(t, port)
      const { app, url } = await startApp(t, { broker: proxy.url.replace('redis://', `${scheme}://${user === '' ? '' : `${user}@`}`), ...options })
      stage.servers.push({ app, url, proxy })
    }
    for (let i = 0; i < clients; i++) await stage.join(t, stage.servers[i % servers]!)
    return stage
  }

  async join (t: Test, { url }: StageServer): Promise<Client> {
    const client = await connect(t, url)
    client.send({ type: 'subscribe', room: this.room })
    await client.frame({ type: 'subscribed' })
    this.clients.push(client)
    return client
  }

  each (what: (proxy: Proxy) => void): void {
    for (const { proxy } of this.servers) what(proxy)
  }

  /** Publishes on one server after the other, all at once. */
  async publish (count = 1, server?: StageServer, filling = ''): Promise<Outcome[]> {
    return await Promise.all(Array.from({ length: count }, async () => {
      const text = String(this.#published++) + filling
      const { app } = server ?? this.servers[this.#published % this.servers.length]!
      const at = performance.now()
      const outcome: Outcome = { text, id: undefined, error: undefined, at, took: 0 }
      this.outcomes.push(outcome)
      this.#under++
      try {
        outcome.id = (await app.rooms.publish(this.room, text)).id
      } catch (error) {
        outcome.error = `${(error as { code?: string }).code}: ${(error as Error).message}`
      }
      this.#under--
      outcome.took = performance.now() - at
      return outcome
    }))
  }

  /** Publishes a few at a time, until the answer is called; that waits for all of them. */
  traffic (interval = 10): () => Promise<void> {
    const timer = setInterval(() => { void this.publish(2) }, interval)
    return async () => {
      clearInterval(timer)
      await until(() => this.#under === 0, 'the end of all publishes', 15_000)
    }
  }

  get acknowledged (): Outcome[] { return this.outcomes.filter(({ id }) => id !== undefined) }
  get refused (): Outcome[] { return this.outcomes.filter(({ error }) => error !== undefined) }
  get gaps (): Frame[][] { return this.clients.map((client) => client.of('gap')) }

  /** Waits until every client has every acknowledged message, or was told; answers how long that took, in ms. */
  async healed (timeout = 5_000): Promise<number> {
    const began = performance.now()
    await until(() => this.clients.every((client) => this.missing(client).length === 0), `all clients to be whole; ${this.state()}`, timeout)
    return performance.now() - began
  }

  /** Acknowledged messages that a client neither received nor was told about. */
  missing (client: Client): Outcome[] {
    const texts = new Set(client.of('message').map(({ data }) => data))
    const told = client.of('gap').length > 0
    return told ? [] : this.acknowledged.filter(({ text }) => !texts.has(text))
  }

  state (): string {
    return this.clients.map((client) => `${client.of('message').length} messages ${client.of('gap').length} gaps`).join(', ')
  }

  /** Nothing twice, nothing out of order, nothing that was never published; and `gaps: false`: no gap either. */
  check (t: Test, { gaps }: { gaps: boolean }): void {
    let [twice, disorder, missing, told] = [0, 0, 0, 0]
    for (const client of this.clients) {
      const seen = new Set<string>()
      let last = 0
      let epoch = false
      for (const frame of client.frames) {
        if (frame.type === 'gap') {
          told++
          epoch = frame['reason'] === 'epoch'
          last = Number(String(frame['id']).split('-')[1])
          if (epoch) seen.clear()
        }
        if (frame.type !== 'message') continue
        if (seen.has(frame['data'])) twice++
        seen.add(frame['data'])
        const offset = Number(frame['id'].split('-')[1])
        if (offset <= last) disorder++
        if (told === 0 && last !== 0 && offset !== last + 1) disorder++
        last = offset
      }
      missing += this.missing(client).length
    }
    t.equal(twice, 0, 'duplicates')
    t.equal(disorder, 0, 'out of order')
    t.equal(missing, 0, 'silent losses')
    if (!gaps) t.equal(told, 0, 'gaps')
    t.comment(`${this.outcomes.length} published, ${this.acknowledged.length} acknowledged, ${this.refused.length} refused or unknown, ${told} gaps`)
  }
}

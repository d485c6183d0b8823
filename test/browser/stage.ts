import type { FastifyInstance } from 'fastify'
import type { Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { createProxy, type Proxy } from './proxy.js'

/** What a page has been told, in its order: the number of each message, and of all else the type. */
export type Told = Array<number | string>

// What a page that uses the client looks like. It keeps what it was told over a reload, and says what went wrong.
const PAGE = `<!doctype html><title>client</title><script type="module">
  import { connect } from '/rooms/client.js'
  const { room, storage, shared, join } = JSON.parse(decodeURIComponent(location.hash.slice(1)))
  const share = shared && (await import('/rooms/tabs.js')).sharedTabs()
  const told = window.told = storage ? JSON.parse(sessionStorage.told ?? '[]') : []
  const tell = (what) => {
    told.push(what)
    if (storage) sessionStorage.told = JSON.stringify(told)
  }
  window.client = connect('/rooms', { heartbeat: 2_000, ...(storage && { storage: sessionStorage }), ...(share && { share }) })
  window.states = []
  client.addEventListener('state', ({ state }) => states.push(state))
  window.room = client.join(room, join)
  window.room.addEventListener('message', ({ data }) => tell(data))
  window.room.addEventListener('gap', ({ type }) => tell(type))
  window.room.addEventListener('state', ({ state, error }) => { if (state === 'left') tell(String(error)) })
</script>`

export interface Stage {
  /** Two on one Redis. */
  servers: Array<{ app: FastifyInstance, url: string }>
  redis: RedisServer
}

export async function openStage (t: Pick<Test, 'teardown'>): Promise<Stage> {
  const redis = await RedisServer.start(t)
  const servers = await Promise.all([1, 2].map(() => startApp(t, { broker: redis.url, client: true, presence: true })))
  return { redis, servers }
}

export interface Settings { room: string, storage?: boolean, shared?: boolean, join?: object }

/** The network before the servers, which pages connect through: to one server or the other, in turn. */
export async function network (t: Test, origins: string[]): Promise<Proxy> {
  const proxy = await createProxy(t, origins[0]!, { '/client.html': PAGE })
  proxy.leadTo(...origins)
  return proxy
}

/** Opens the page of the client, and waits until it has joined. */
export async function open (page: Page, proxy: Proxy, settings: Settings): Promise<void> {
  await page.goto(`${proxy.origin}/client.html#${encodeURIComponent(JSON.stringify(settings))}`)
  await joined(page)
}

export async function joined (page: Page): Promise<void> {
  await until(() => page.evaluate('globalThis.room?.state === "joined"'), 'the page joins')
}

export async function told (page: Page): Promise<Told> {
  return await page.evaluate('told') as Told
}

/** Numbered messages, published one after the other at the servers in turn, until it is stopped. */
export class Traffic {
  readonly room = newRoom()
  readonly #servers: Stage['servers']
  #running: Promise<void> | undefined
  #over = false
  sent = 0

  constructor ({ servers }: Stage) {
    this.#servers = servers
  }

  async send (count: number): Promise<void> {
    for (const end = this.sent + count; this.sent < end; this.sent++) await this.#servers[this.sent % this.#servers.length]!.app.rooms.publish(this.room, this.sent)
  }

  start (): void {
    this.#over = false
    this.#running = (async () => {
      while (!this.#over) {
        await this.send(1)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })()
  }

  async stop (): Promise<void> {
    this.#over = true
    await this.#running
  }

  /** Waits until some more were sent. */
  async pass (count = 20): Promise<void> {
    const { sent } = this
    await until(() => this.sent >= sent + count, 'messages are sent')
  }

  /** Stops it; the page has then been told all from `first` on, in order, once, and nothing else. One more would show what comes twice. */
  async check (t: Test, page: Page, first = 0): Promise<void> {
    await this.stop()
    await this.send(1)
    await until(async () => (await told(page)).at(-1) === this.sent - 1, `message ${this.sent - 1} comes`, 20_000)
    t.same(await told(page), Array.from({ length: this.sent - first }, (_, index) => first + index), 'each message once and in order')
  }
}

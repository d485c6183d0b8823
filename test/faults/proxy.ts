import type { Server, Socket } from 'node:net'
import type { Test } from 'tap'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

interface Link {
  client: Socket
  redis: Socket
  /** It carries subscriptions. */
  live: boolean
  stalled: boolean
  /** Packets from Redis that are still to be dropped. */
  drop: number
}

/** Which links: those that carry subscriptions, those that do not, or all. */
export type Which = 'live' | 'commands' | 'all'

/** What stands between a server and its Redis, and can make every trouble that a network can. */
export class Proxy {
  readonly #links = new Set<Link>()
  readonly #server: Server
  #target: number
  #refuses = false
  #stalled = false
  /** Called with what Redis answered to commands, before it is handed on; true keeps it. */
  #swallow: ((reply: string) => boolean) | undefined

  private constructor (target: number) {
    this.#target = target
    this.#server = createServer((client) => this.#accept(client))
  }

  static async start (t: Pick<Test, 'teardown'>, target: number): Promise<Proxy> {
    const proxy = new Proxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => proxy.close())
    return proxy
  }

  get port (): number { return (this.#server.address() as { port: number }).port }
  get url (): string { return `redis://127.0.0.1:${this.port}` }

  #accept (client: Socket): void {
    if (this.#refuses) {
      client.destroy()
      return
    }
    const redis = connect(this.#target, '127.0.0.1')
    const link: Link = { client, redis, live: false, stalled: this.#stalled, drop: 0 }
    this.#links.add(link)
    client.on('data', (data) => {
      if (/\bsubscribe\r\n/i.test(data.toString('latin1'))) link.live = true
      redis.write(data)
    })
    redis.on('data', (data) => {
      const text = data.toString('latin1')
      if (link.live && link.drop > 0 && /\bmessage\r\n/.test(text)) {
        link.drop--
        return
      }
      if (!link.live && this.#swallow?.(text) === true) return
      client.write(data)
    })
    const end = (): void => {
      this.#links.delete(link)
      client.destroy()
      redis.destroy()
    }
    for (const socket of [client, redis]) socket.on('error', () => {}).on('close', end)
    if (link.stalled) this.#pause(link)
  }

  #of (which: Which): Link[] {
    return [...this.#links].filter(({ live }) => which === 'all' || live === (which === 'live'))
  }

  /** How many links there are. */
  count (which: Which): number { return this.#of(which).length }

  /** Breaks links, with a reset. */
  cut (which: Which = 'all'): void {
    for (const { client, redis } of this.#of(which)) {
      client.resetAndDestroy()
      redis.destroy()
    }
  }

  #pause (link: Link): void {
    link.stalled = true
    link.client.pause()
    link.redis.pause()
  }

  /** No byte passes, and nothing is closed; new links are the same where all are stalled. */
  stall (which: Which = 'all'): void {
    if (which === 'all') this.#stalled = true
    for (const link of this.#of(which)) this.#pause(link)
  }

  flow (): void {
    this.#stalled = false
    for (const link of this.#links) {
      link.client.resume()
      link.redis.resume()
    }
  }

  /** The next packets with messages are lost. */
  drop (packets: number): void { for (const link of this.#of('live')) link.drop = packets }

  /** The next reply to a command that holds `text` is lost, and the link with it. */
  loseReply (holds: RegExp): Promise<void> {
    return new Promise((resolve) => {
      this.#swallow = (reply) => {
        if (!holds.test(reply)) return false
        this.#swallow = undefined
        this.cut('commands')
        resolve()
        return true
      }
    })
  }

  /** Leads to another Redis from now on; what led to the old one is cut. */
  point (target: number): void {
    this.#target = target
    this.cut()
  }

  refuse (refuses: boolean): void {
    this.#refuses = refuses
    if (refuses) this.cut()
  }

  close (): void {
    this.#server.close()
    this.cut()
  }
}

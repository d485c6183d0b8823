import type { Server, Socket } from 'node:net'
import type { Test } from 'tap'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** What is dropped, or not, as a whole. `message`: to a subscriber; `reply`: to a command. */
export interface Packet { data: Buffer, kind: 'message' | 'reply' | 'other' }

/** What there is to know of a broker's protocol; one for each link. */
export interface Reader {
  /** Whether it carries subscriptions, and whether it carries commands. */
  readonly live: boolean
  readonly commands: boolean
  /** Is told what the client sent. */
  sent (data: Buffer): void
  /** Takes what the broker sent apart; what is no whole packet yet is kept until it is. */
  received (data: Buffer): Packet[]
}

interface Link {
  client: Socket
  broker: Socket
  reader: Reader
  stalled: boolean
  /** Packets with messages that are still to be dropped. */
  drop: number
}

/** Which links: those that carry subscriptions, those that carry commands, or all. */
export type Which = 'live' | 'commands' | 'all'

class RedisReader implements Reader {
  live = false
  get commands (): boolean { return !this.live }

  sent (data: Buffer): void {
    if (/\bsubscribe\r\n/i.test(data.toString('latin1'))) this.live = true
  }

  received (data: Buffer): Packet[] {
    if (!this.live) return [{ data, kind: 'reply' }]
    return [{ data, kind: /\bmessage\r\n/.test(data.toString('latin1')) ? 'message' : 'other' }]
  }
}

/** What stands between a server and its broker, and can make every trouble that a network can. */
export class Proxy {
  readonly #links = new Set<Link>()
  readonly #server: Server
  readonly #newReader: () => Reader
  /** Connections that were refused. */
  refused = 0
  #target: number
  #refuses = false
  #stalled = false
  /** Called with each reply to a command, before it is handed on; true keeps it. */
  #swallow: ((reply: string, handOn: () => void) => boolean) | undefined

  private constructor (target: number, newReader: () => Reader) {
    this.#target = target
    this.#newReader = newReader
    this.#server = createServer((client) => this.#accept(client))
  }

  /** To a Redis, unless there is a reader of something else. */
  static async start (t: Pick<Test, 'teardown'>, target: number, newReader: () => Reader = () => new RedisReader()): Promise<Proxy> {
    const proxy = new Proxy(target, newReader)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => proxy.close())
    return proxy
  }

  get port (): number { return (this.#server.address() as { port: number }).port }
  get url (): string { return `redis://127.0.0.1:${this.port}` }

  #accept (client: Socket): void {
    if (this.#refuses) {
      this.refused++
      client.destroy()
      return
    }
    const broker = connect(this.#target, '127.0.0.1')
    const link: Link = { client, broker, reader: this.#newReader(), stalled: this.#stalled, drop: 0 }
    this.#links.add(link)
    client.on('data', (data) => {
      link.reader.sent(data)
      broker.write(data)
    })
    broker.on('data', (data) => {
      for (const packet of link.reader.received(data)) if (!this.#takes(packet, link)) client.write(packet.data)
    })
    const end = (): void => {
      this.#links.delete(link)
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) socket.on('error', () => {}).on('close', end)
    if (link.stalled) this.#pause(link)
  }

  #takes ({ data, kind }: Packet, link: Link): boolean {
    if (kind === 'reply') return this.#swallow?.(data.toString('latin1'), () => link.client.write(data)) === true
    if (kind !== 'message' || link.drop === 0) return false
    link.drop--
    return true
  }

  #of (which: Which): Link[] {
    return [...this.#links].filter(({ reader }) => which === 'all' || reader[which])
  }

  /** How many links there are. */
  count (which: Which): number { return this.#of(which).length }

  /** Breaks links, with a reset. */
  cut (which: Which = 'all'): void {
    for (const { client, broker } of this.#of(which)) {
      client.resetAndDestroy()
      broker.destroy()
    }
  }

  #pause (link: Link): void {
    link.stalled = true
    link.client.pause()
    link.broker.pause()
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
      link.broker.resume()
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

  /** The next reply to a command that holds `text` is late: until the answer is called. What comes after it is not. */
  holdReply (holds: RegExp): Promise<() => void> {
    return new Promise((resolve) => {
      this.#swallow = (reply, handOn) => {
        if (!holds.test(reply)) return false
        this.#swallow = undefined
        resolve(handOn)
        return true
      }
    })
  }

  /** Leads to another broker from now on; what led to the old one is cut. */
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

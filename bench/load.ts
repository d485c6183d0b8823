import type { SocketRecipe } from './contestants/contestant.js'
import type { JoinOptions, LoneOptions } from './generator/main.js'
import type { PublishOptions, PublishResult } from './generator/publisher.js'
import { Child } from './ipc.js'

export interface JoinResult {
  seconds: number
  /** The generator's CPU time in seconds. */
  generator: number
}

export interface ClientsOptions {
  url: string
  socket: SocketRecipe
  /** The rooms of each client. */
  clients: string[][]
  /** Bytes of a message's data. */
  bytes: number
  /** Resumed behind this message, where it is given, and how many messages follow it. */
  since?: string
  messages?: number
  /** Connections on their way at a time. Default: 64. */
  inFlight?: number
}

/** A process that makes load. */
export class Load {
  readonly #child: Child<object>

  private constructor (child: Child<object>) {
    this.#child = child
  }

  static async start (): Promise<Load> {
    return new Load(await Child.start(new URL('generator/main.ts', import.meta.url)))
  }

  /** Connects clients that stay; resolves when each is in its rooms, and has what it is sent there. */
  async join ({ url, socket, clients, bytes, since, messages = 0, inFlight = 64 }: ClientsOptions): Promise<JoinResult> {
    const question: JoinOptions = {
      target: { url, headers: socket.headers ?? {}, joined: socket.joined, keepAlive: socket.keepAlive, smallest: bytes },
      clients: clients.map((rooms) => ({
        ...socket.enter(rooms, since),
        joins: socket.joined === '' ? 0 : rooms.length
      })),
      inFlight,
      messages
    }
    return await this.#child.ask({ ask: 'join', ...question })
  }

  async publish (options: PublishOptions): Promise<PublishResult> {
    return await this.#child.ask({ ask: 'publish', ...options })
  }

  async lone (options: LoneOptions): Promise<number[]> {
    return await this.#child.ask({ ask: 'lone', ...options })
  }

  async ping (options: { pause: number, duration: number }): Promise<number[]> {
    return await this.#child.ask({ ask: 'ping', ...options })
  }

  async stop (): Promise<void> {
    await this.#child.stop()
  }
}

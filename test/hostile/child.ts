import type { Test } from 'tap'
import type { FanOutOptions, Stats } from '../../index.js'
import type { Command } from './server.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A server in another process, which ends with the test. */
export class ChildServer {
  readonly url: string
  readonly #ask: (command: Command) => Promise<any>

  private constructor (url: string, ask: (command: Command) => Promise<any>) {
    this.url = url
    this.#ask = ask
  }

  static async start (t: Test, options: FanOutOptions = {}): Promise<ChildServer> {
    const server = fileURLToPath(new URL('server.ts', import.meta.url))
    const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', server, JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    t.teardown(() => child.kill('SIGKILL'))
    const answers = new Map<number, (answer: unknown) => void>()
    const [{ url }] = await once(child, 'message') as [{ url: string }]
    child.on('message', ({ id, answer }: { id: number, answer: unknown }) => answers.get(id)?.(answer))
    let id = 0
    return new ChildServer(url, (command) => new Promise((resolve) => {
      answers.set(++id, resolve)
      child.send({ id, command })
    }))
  }

  /** Publishes `{ n, pad }`, counting from 0, one in each turn of the event loop. */
  async publish (room: string, count: number, bytes: number): Promise<void> {
    await this.#ask({ do: 'publish', room, count, bytes })
  }

  /** What it holds after a garbage collection, and what it has of the system, in bytes. */
  memory (): Promise<{ held: number, rss: number }> {
    return this.#ask({ do: 'memory' })
  }

  stats (): Promise<Stats> {
    return this.#ask({ do: 'stats' })
  }

  /** How often the window of a room was read from the broker. */
  reads (): Promise<number> {
    return this.#ask({ do: 'reads' })
  }
}

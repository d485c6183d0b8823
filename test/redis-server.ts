import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
// @ts-expect-error: plain JavaScript, run before there is anything to compile
import { find } from './services.mjs'

/** A port that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** A Redis of a test's own: its port is free and its folder temporary, and it is gone when the test ends. */
export class RedisServer {
  readonly port: number
  readonly #folder: string
  readonly #args: string[]
  #process: ChildProcess | undefined
  #admin: Redis | undefined

  private constructor (port: number, folder: string, args: string[]) {
    this.port = port
    this.#folder = folder
    this.#args = args
  }

  /** `args` as on the command line, or what draws them. Without them it keeps nothing on disk. */
  static async start (t: Pick<Test, 'teardown'>, args: string[] | (() => Promise<string[]>) = [], started = true): Promise<RedisServer> {
    for (let tries = 0; ; tries++) {
      const drawn = typeof args === 'function' ? await args() : args
      const server = new RedisServer(await freePort(), await mkdtemp(join(tmpdir(), 'fan-out-redis-')), drawn)
      t.teardown(async () => {
        await server.kill()
        await rm(server.#folder, { recursive: true, force: true, maxRetries: 10 })
      })
      try {
        if (started) await server.start()
        return server
      } catch (error) {
        // A port that was free a moment ago need not be any more.
        if (tries === 3) throw error
      }
    }
  }

  /** A Sentinel, by its configuration, which it rewrites. */
  static async startSentinel (t: Pick<Test, 'teardown'>, configuration: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), dirname(configuration), [configuration, '--sentinel'])
    t.teardown(async () => await server.kill())
    await server.start()
    return server
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** A connection for what the test itself wants done. */
  get admin (): Redis {
    this.#admin ??= new Redis(this.port, '127.0.0.1', { retryStrategy: () => 50, maxRetriesPerRequest: null }).on('error', () => {})
    return this.#admin
  }

  /** Where it speaks TLS, if it was told to. */
  async tlsPort (): Promise<number> {
    const [, port] = await this.admin.config('GET', 'tls-port') as [string, string]
    return Number(port)
  }

  async start (...more: string[]): Promise<void> {
    const program = find('redis')
    if (program === undefined) throw new Error('no redis-server')
    const common = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder]
    const sentinel = this.#args.includes('--sentinel')
    const args = sentinel ? [...this.#args, ...common] : [...common, '--save', '', '--enable-debug-command', 'yes', '--repl-diskless-sync-delay', '0', ...this.#args, ...more]
    this.#process = spawn(program, args, { stdio: 'ignore' })
    const ended = once(this.#process, 'exit').then(([code]) => { throw new Error(`redis-server ended with ${code}`) })
    ended.catch(() => {})
    await Promise.race([this.admin.ping(), ended])
    if (sentinel) return
    while (!/loading:0/.test(await this.admin.info('persistence'))) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  /** How many replicas have all that was written until now. WAIT counts from the last write of its own connection, so it makes one. */
  async replicated (): Promise<number> {
    await this.admin.set('a write of the tests', 1)
    // Where no replica has come yet since the start nothing is counted, and one that has yet to load its copy would do.
    if (/master_repl_offset:0\b/.test(await this.admin.info('replication'))) return 0
    return await this.admin.wait(1, 5_000)
  }

  /** As `kill -9`. */
  async kill (): Promise<void> {
    this.#admin?.disconnect()
    this.#admin = undefined
    const killed = this.#process
    this.#process = undefined
    if (killed === undefined || killed.exitCode !== null || killed.signalCode !== null) return
    killed.kill('SIGKILL')
    await once(killed, 'exit')
  }

  async #appendOnly (): Promise<string> {
    const folder = join(this.#folder, 'appendonlydir')
    return join(folder, (await readdir(folder)).filter((name) => name.endsWith('.incr.aof')).sort().at(-1) as string)
  }

  async appendOnlyLength (): Promise<number> {
    return (await stat(await this.#appendOnly())).size
  }

  async truncateAppendOnly (length: number): Promise<void> {
    // Never longer: what would be added is no log.
    await truncate(await this.#appendOnly(), Math.min(length, await this.appendOnlyLength()))
  }

  /** Stops answering, with its connections open; and goes on. */
  pause (): void { this.#process?.kill('SIGSTOP') }
  resume (): void { this.#process?.kill('SIGCONT') }
}

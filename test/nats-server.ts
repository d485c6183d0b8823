import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { until } from './helpers.js'
import { freePort } from './redis-server.js'
// @ts-expect-error: plain JavaScript, run before there is anything to compile
import { find } from './services.mjs'

export interface NatsServerOptions {
  /** Debian's of long ago, or a current one. */
  program?: 'nats' | 'nats-current'
  /** `always`: what is acknowledged has been synced to disk; only the current program can. */
  jetstream?: boolean | 'always'
  /** Lines that are added to the configuration file. */
  config?: string
  args?: string[]
  /** What the monitoring port has to answer before the server counts as started. */
  ready?: '/healthz' | '/varz'
}

/** A nats-server of a test's own: its ports are free and its folder temporary, and it is gone when the test ends. */
export class NatsServer {
  readonly port: number
  /** Of its monitoring, over HTTP: /connz?subs=1 and the like. */
  readonly monitor: number
  readonly #folder: string
  readonly #options: NatsServerOptions
  #process: ChildProcess | undefined
  #admin: NatsConnection | undefined

  private constructor (port: number, monitor: number, folder: string, options: NatsServerOptions) {
    this.port = port
    this.monitor = monitor
    this.#folder = folder
    this.#options = { ...options }
  }

  static async start (t: Pick<Test, 'teardown'>, options: NatsServerOptions = {}): Promise<NatsServer> {
    for (let tries = 0; ; tries++) {
      const server = new NatsServer(await freePort(), await freePort(), await mkdtemp(join(tmpdir(), 'fan-out-nats-')), options)
      t.teardown(async () => {
        await server.kill()
        await rm(server.#folder, { recursive: true, force: true, maxRetries: 10 })
      })
      try {
        await server.start()
        return server
      } catch (error) {
        // A port that was free a moment ago need not be any more.
        if (tries === 3) throw error
      }
    }
  }

  get url (): string { return `nats://127.0.0.1:${this.port}` }
  get running (): boolean { return this.#process !== undefined }
  get #store (): string { return join(this.#folder, 'store') }

  /** A connection for what the test itself wants done, until the server is killed. `options`, such as a user, are those of the first call. */
  async admin (options: NodeConnectionOptions = {}): Promise<NatsConnection> {
    this.#admin ??= await connect({ servers: `127.0.0.1:${this.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options })
    return this.#admin
  }

  /** What the monitoring port answers to a path, if it is well. */
  async ask (path: string): Promise<any> {
    const response = await fetch(`http://127.0.0.1:${this.monitor}${path}`)
    const body = await response.json()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`)
    return body
  }

  async start (): Promise<void> {
    const { program = 'nats-current', args = [], ready = '/healthz' } = this.#options
    const path = find(program)
    if (path === undefined) throw new Error(`no ${program}`)
    const child = spawn(path, ['-c', await this.#configure(), ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process = child
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-1_000) })
    const ended = once(child, 'exit').then(([code]) => { throw new Error(`nats-server ended with ${code}: ${log}`) })
    ended.catch(() => {})
    await Promise.race([ended, until(() => child.exitCode !== null || this.ask(ready).catch(() => false), `nats-server at ${this.port}`)])
    if (child.exitCode !== null) await ended
  }

  async #configure (): Promise<string> {
    const { jetstream = false, config = '' } = this.#options
    const file = join(this.#folder, 'nats.conf')
    const lines = [`listen: "127.0.0.1:${this.port}"`, `http: "127.0.0.1:${this.monitor}"`]
    if (jetstream !== false) lines.push(`jetstream { store_dir: ${JSON.stringify(this.#store)}${jetstream === 'always' ? ', sync_interval: always' : ''} }`)
    await writeFile(file, [...lines, config, ''].join('\n'))
    return file
  }

  /** Has it read other lines of configuration in place of those that it was given, while it runs. */
  async reconfigure (config: string): Promise<void> {
    const { config_load_time: before } = await this.ask('/varz')
    this.#options.config = config
    await this.#configure()
    this.#process?.kill('SIGHUP')
    await until(async () => (await this.ask('/varz')).config_load_time !== before, 'the configuration to be read')
  }

  /** As `kill -9`. */
  async kill (): Promise<void> {
    const [killed, admin] = [this.#process, this.#admin]
    this.#process = this.#admin = undefined
    const running = killed?.exitCode === null && killed.signalCode === null
    const ended = running ? once(killed, 'exit') : undefined
    if (running) killed.kill('SIGKILL')
    await Promise.all([ended, admin?.close()])
  }

  /** Stops answering, with its connections open; and goes on. */
  pause (): void { this.#process?.kill('SIGSTOP') }
  resume (): void { this.#process?.kill('SIGCONT') }

  /** A copy of what JetStream has on disk now, in a folder that goes with the server's. */
  async copyStore (): Promise<string> {
    const copy = await mkdtemp(join(this.#folder, 'copy-'))
    this.pause()
    await cp(this.#store, copy, { recursive: true })
    this.resume()
    return copy
  }

  /** Has a server that was killed start from a copy. */
  async restoreStore (copy: string): Promise<void> {
    if (this.running) throw new Error('kill it first')
    await rm(this.#store, { recursive: true, force: true })
    await cp(copy, this.#store, { recursive: true })
  }
}

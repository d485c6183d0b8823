import type { HttpRequest } from '../contestants/contestant.js'
import type { Crowd } from './crowd.js'
import { setTimeout as wait } from 'node:timers/promises'
import { cpuTime } from '../proc.js'
import { Poster, Template } from './poster.js'

export interface PublishOptions {
  url: string
  /** Sent one after the other, over and over. */
  requests: HttpRequest[]
  /** Who receives each message. */
  subscribers: number
  /** POSTs under way at a time. */
  inFlight: number
  /** How many messages may have been posted that not everybody has: what is measured is a steady state. */
  ahead: number
  /** A POST each so many ms; without it as fast as they are taken. */
  every?: number
  /** Both in ms; what happens before is not counted. */
  warmUp: number
  duration: number
  /** Of the servers. */
  pids: number[]
}

export interface PublishResult {
  seconds: number
  posts: number
  delivered: number
  /** CPU time in seconds. */
  server: number
  generator: number
  /** All that were posted, the warm-up's included. */
  published: number
}

/** Posts, and sees that everything comes to everybody. */
export class Publisher {
  readonly #options: PublishOptions
  readonly #crowd: Crowd
  readonly #templates: Template[]
  readonly #posters: Poster[]
  readonly #idle: Poster[]
  #posts = 0
  #answers = 0
  /** Messages. */
  #published = 0
  #allowed: () => number = () => Infinity
  #ending = false
  #ended = (): void => {}

  constructor (crowd: Crowd, options: PublishOptions) {
    this.#options = options
    this.#crowd = crowd
    this.#templates = options.requests.map((request) => new Template(options.url, request))
    this.#posters = Array.from({ length: options.inFlight }, () => new Poster(options.url, crowd.failed))
    this.#idle = [...this.#posters]
  }

  async run (): Promise<PublishResult> {
    const { warmUp, duration, every, subscribers } = this.#options
    const crowd = this.#crowd
    crowd.progress = () => this.#pump()
    if (every !== undefined) this.#paced(every)
    this.#pump()

    await this.#during(warmUp)
    const before = this.#sample()
    await this.#during(duration)
    const after = this.#sample()

    this.#ending = true
    await crowd.wait(() => this.#over && crowd.received === this.#published * subscribers)
    crowd.check(subscribers === 0 ? 0 : this.#published / this.#templates.length)
    for (const poster of this.#posters) poster.destroy()
    return {
      seconds: (after.time - before.time) / 1_000,
      posts: after.posts - before.posts,
      delivered: after.delivered - before.delivered,
      server: after.server - before.server,
      generator: after.generator - before.generator,
      published: this.#published
    }
  }

  /** Waits so many ms, or until something goes wrong. */
  async #during (milliseconds: number): Promise<void> {
    let over = false
    await Promise.race([wait(milliseconds).then(() => { over = true }), this.#crowd.wait(() => over)])
  }

  #sample (): Record<'time' | 'posts' | 'delivered' | 'server' | 'generator', number> {
    const { user, system } = process.cpuUsage()
    return { time: performance.now(), posts: this.#answers, delivered: this.#crowd.received, server: cpuTime(this.#options.pids), generator: (user + system) / 1e6 }
  }

  #paced (every: number): void {
    const begun = performance.now()
    this.#allowed = () => (performance.now() - begun) / every
    const timer = setInterval(() => this.#pump(), 1)
    this.#ended = () => clearInterval(timer)
  }

  /** Whether each room has had as many POSTs as the others, at the end, and all are answered. */
  get #over (): boolean {
    return this.#ending && this.#posts % this.#templates.length === 0 && this.#answers === this.#posts
  }

  #pump (): void {
    const { ahead, subscribers } = this.#options
    while (this.#idle.length > 0) {
      const template = this.#templates[this.#posts % this.#templates.length] as Template
      if (this.#ending && this.#posts % this.#templates.length === 0) return this.#ended()
      if (this.#posts >= this.#allowed()) return
      if (subscribers > 0 && this.#published - this.#crowd.received / subscribers > ahead) return
      const poster = this.#idle.pop() as Poster
      poster.post(template.fill(this.#published), () => {
        this.#answers++
        this.#idle.push(poster)
        this.#crowd.look()
        this.#pump()
      })
      this.#posts++
      this.#published += template.messages
    }
  }
}

import type { Scheduler } from '../../scheduler.js'
import type { ClusterClient, RedisClient } from './client.js'
import type { LiveEvents, LiveLink } from './live.js'
import calculateSlot from 'cluster-key-slot'
import { Redis } from 'ioredis'
import { errors, retryAfter } from '../../errors.js'
import { Turns } from '../turns.js'
import { clientOptions, isCluster } from './client.js'
import { isMoved, Live } from './live.js'

interface Channel {
  room: string
  /** Where it was subscribed to last. */
  link?: Live
  /** Redis may have ended the subscription. */
  astray?: boolean
}

// In ms: how long a node is given to take a channel before it is looked up again where it belongs, and the pause between.
const TRY = 1_000
const PAUSE = 100
// Channels that are subscribed to without waiting for each other.
const TOGETHER = 500

/** The address of the primary that has a key, or a channel; empty while that is not known, and where there is but one Redis. */
export function nodeOf (client: RedisClient, key: string): string {
  return isCluster(client) ? client.slots[calculateSlot(key)]?.[0] ?? '' : ''
}

/** Whether keys are in one slot. */
export function inOneSlot (...keys: string[]): boolean {
  return new Set(keys.map((key) => calculateSlot(key))).size === 1
}

/**
 * The live link on a Cluster: sharded Pub/Sub, where a channel is served by the nodes of its slot alone, so there is a
 * link to each primary that serves a channel wanted here, and to no other. Where a slot moves, Redis ends the
 * subscriptions to it (or the node is gone): its channels are subscribed to where they belong now, and their rooms doubted.
 *
 * ioredis has sharded subscribers of its own; they tell neither which channels were without a link nor for how long.
 */
export class ShardedLive implements LiveLink {
  readonly #cluster: ClusterClient
  readonly #scheduler: Scheduler
  readonly #events: LiveEvents
  readonly #channels = new Map<string, Channel>()
  /** By the address of their node. */
  readonly #links = new Map<string, Live>()
  readonly #turns = new Turns()
  /** Links over which Redis has ended some subscriptions. */
  readonly #doubted = new Set<Live>()
  #checking = false
  #checkAgain = false
  #closed = false

  /** `cluster` is connected by its owner; it is only asked where slots are. */
  constructor (cluster: ClusterClient, scheduler: Scheduler, events: LiveEvents) {
    this.#cluster = cluster
    this.#scheduler = scheduler
    this.#events = events
    // Slots were looked up, every few seconds or because a command was sent away.
    cluster.on('refresh', this.#check)
  }

  open (): void {}

  close (): void {
    this.#closed = true
    this.#cluster.off('refresh', this.#check)
    for (const link of this.#links.values()) link.close()
  }

  wants (channel: string): boolean {
    return this.#channels.has(channel)
  }

  subscribe (room: string, name: string, deadline: number): Promise<void> {
    return this.#turns.take(name, async () => {
      const channel: Channel = { room }
      this.#channels.set(name, channel)
      try {
        await this.#place(name, channel, deadline)
      } catch (error) {
        this.#channels.delete(name)
        throw error
      }
    })
  }

  unsubscribe (name: string): Promise<void> {
    return this.#turns.take(name, async () => {
      const link = this.#channels.get(name)?.link
      this.#channels.delete(name)
      await link?.unsubscribe(name)
      this.#dropIdle()
    })
  }

  async untilWhole (deadline: number): Promise<void> {
    while (this.#cluster.status !== 'ready' || [...this.#channels.values()].some(({ link, astray }) => link === undefined || astray === true)) {
      await this.#pause(deadline)
    }
    await Promise.all([...this.#links.values()].map((link) => link.untilWhole(deadline)))
  }

  /** Subscribes to a channel at the node of its slot; rejects after `deadline`. */
  async #place (name: string, channel: Channel, deadline: number): Promise<void> {
    while (!this.#closed) {
      const link = this.#linkFor(name)
      const until = Math.min(deadline, this.#scheduler.now() + TRY)
      try {
        if (link !== undefined) {
          await link.subscribe(channel.room, name, until)
          if (channel.link !== undefined && channel.link !== link) void channel.link.unsubscribe(name)
          channel.link = link
          channel.astray = false
          return
        }
      } catch (error) {
        // Refused, and would be elsewhere too.
        if (!isMoved(error) && this.#scheduler.now() < until) throw error
      }
      this.#cluster.refreshSlotsCache()
      await this.#pause(deadline)
    }
    throw retryAfter(new errors.Closing())
  }

  async #pause (deadline: number): Promise<void> {
    if (this.#closed || this.#scheduler.now() >= deadline) throw retryAfter(new errors.BrokerAway('the live link to a node of the Cluster was not there in time'))
    await new Promise<void>((resolve) => this.#scheduler.after(PAUSE, resolve))
  }

  /** The link to the primary of a channel's slot, undefined while that is not known. */
  #linkFor (channel: string): Live | undefined {
    const address = nodeOf(this.#cluster, channel)
    if (address === '') return undefined
    const existing = this.#links.get(address)
    if (existing !== undefined) return existing
    const node = this.#cluster.nodes('master').find(({ options }) => `${options?.host}:${options?.port}` === address)
    if (node === undefined) return undefined
    // The names of channels are whole; ioredis would put its prefix before those of shards.
    const client = new Redis({ ...node.options, ...clientOptions, keyPrefix: '' } as object)
    const link: Live = new Live(client, this.#scheduler, {
      message: this.#events.message,
      mended: (rooms) => this.#events.mended(rooms),
      moved: () => {
        this.#doubted.add(link)
        this.#cluster.refreshSlotsCache()
        this.#check()
      },
      // Perhaps it is a replica that serves its slots now.
      broken: () => { if (!this.#closed) this.#cluster.refreshSlotsCache() }
    }, true)
    this.#links.set(address, link)
    link.open()
    return link
  }

  /** Brings the channels that are not at the node of their slot there, and goes on until all are. */
  readonly #check = (): void => {
    this.#checkAgain = true
    if (this.#checking) return
    this.#checking = true
    void this.#placeAll().finally(() => { this.#checking = false })
  }

  async #placeAll (): Promise<void> {
    while (this.#checkAgain && !this.#closed) {
      // Slots rarely move alone, and Redis tells of each channel.
      if (this.#doubted.size > 0) await new Promise<void>((resolve) => this.#scheduler.after(PAUSE, resolve))
      this.#checkAgain = false
      // Which channels it was is not told.
      for (const channel of this.#channels.values()) if (channel.link !== undefined && this.#doubted.has(channel.link)) channel.astray = true
      this.#doubted.clear()
      const astray = [...this.#channels].filter(([name, channel]) => this.#isAstray(name, channel))
      for (let i = 0; i < astray.length; i += TOGETHER) {
        const rooms = await Promise.all(astray.slice(i, i + TOGETHER).map(async ([name, channel]) => await this.#placeAgain(name, channel)))
        this.#events.mended(rooms.filter((room) => room !== undefined))
      }
      this.#dropIdle()
      if (this.#checkAgain) await new Promise<void>((resolve) => this.#scheduler.after(PAUSE, resolve))
    }
  }

  /** Answers the room, where its channel had to be subscribed to. */
  async #placeAgain (name: string, channel: Channel): Promise<string | undefined> {
    return await this.#turns.take(name, async () => {
      if (this.#channels.get(name) !== channel || !this.#isAstray(name, channel)) return undefined
      try {
        await this.#place(name, channel, this.#scheduler.now() + TRY)
        return channel.room
      } catch {
        this.#checkAgain = true
        return undefined
      }
    })
  }

  #isAstray (name: string, { link, astray }: Channel): boolean {
    return link === undefined || astray === true || link !== this.#linkFor(name)
  }

  /** Closes the links that carry nothing. */
  #dropIdle (): void {
    for (const [address, link] of this.#links) {
      if (!link.idle) continue
      link.close()
      this.#links.delete(address)
    }
  }
}

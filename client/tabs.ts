import type { Channel, Locks, Said, Told } from './hub.js'
import type { Frame, Link, LinkEvents, LinkOptions, Lost, OpenLink, Transport } from './types.js'
import { Hub, lockOf, newId } from './hub.js'
import { readMissed } from './missed.js'

export type { Frame, Link, LinkEvents, LinkOptions, Lost, OpenLink } from './types.js'

type ChannelConstructor = new (name: string) => Channel
interface Platform { navigator?: { locks?: Locks }, BroadcastChannel?: ChannelConstructor }

/** A room of this tab. */
interface TabRoom {
  /** The frame that subscribes to it. */
  readonly asked: Frame
  /** Frames are for it from now on. */
  joined: boolean
  /** What came while it catches up. */
  held: Frame[] | undefined
}

// In ms. So long a tab that takes over waits for the reason why the one before it has gone.
const REASON = 100
const GONE: Lost = { code: 1001, reason: 'the tab that leads has gone', opened: true }

/**
 * For `share` of `connect`: the tabs of a browser have one connection together. One of them leads, and has it; the others
 * speak to the server by way of that one, and when it goes another takes its place. Each tab receives what it would by a
 * connection of its own: each message once and in order, or a gap. For one origin, one URL and one `user`: where tabs of
 * one origin can be of different users, name the user here. Whoever leads brings the token.
 *
 * What a tab has missed it reads over HTTP from the history, for which its own token is used. Snapshots do not come from
 * there: where rooms have them, do not share. In a room's presence all the tabs are one member.
 *
 * It needs Web Locks and BroadcastChannel, so https or localhost; where they are missing, or forbidden, each tab has its own connection.
 */
export function sharedTabs ({ user = '' }: { user?: string } = {}): (open: OpenLink) => OpenLink {
  const { navigator, BroadcastChannel } = globalThis as unknown as Platform
  const locks = navigator?.locks
  if (!locks || !BroadcastChannel) return (open) => open
  return (open) => async (options, events) => {
    // Pages in a sandbox, or without storage, have them and may not use them.
    const allowed = await locks.query().then(() => true, () => false)
    return allowed ? new TabLink(open, options, events, `fan-out 1 ${options.url} ${user}`, locks, BroadcastChannel) : await open(options, events)
  }
}

/** The link of one tab: it speaks to the hub, wherever that is, and catches up by itself. */
class TabLink implements Link {
  transport: Transport
  readonly #id = newId()
  readonly #name: string
  readonly #options: LinkOptions
  readonly #events: LinkEvents
  readonly #locks: Locks
  readonly #BroadcastChannel: ChannelConstructor
  readonly #channel: Channel
  readonly #closed = new AbortController()
  readonly #rooms = new Map<string, TabRoom>()
  readonly #watch: ReturnType<typeof setInterval>
  /** The hub that it belongs to. */
  #hub: string | undefined
  #opened = false
  #heard = Date.now()
  #pinged = false

  constructor (open: OpenLink, options: LinkOptions, events: LinkEvents, name: string, locks: Locks, BroadcastChannel: ChannelConstructor) {
    this.transport = options.transport
    this.#name = name
    this.#options = options
    this.#events = events
    this.#locks = locks
    this.#BroadcastChannel = BroadcastChannel
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }) => { if ((data as Told).hub) this.#hear(data as Told) }
    this.#watch = this.#watchOver(options.heartbeat)
    const { signal } = this.#closed
    const closed = new Promise((resolve) => signal.addEventListener('abort', resolve))
    // Held for as long as this tab is there. What a tab holds is released when it vanishes, whatever the reason.
    locks.request(lockOf(name, this.#id), { signal }, () => {
      this.#post({ tab: this.#id })
      this.#contend(open, closed)
      return closed
    }).catch(() => {})
  }

  /** Waits until it is its turn to lead. */
  #contend (open: OpenLink, closed: Promise<unknown>): void {
    const { signal } = this.#closed
    let hub: Hub | undefined
    this.#locks.request(this.#name, { signal }, () => {
      if (signal.aborted) return
      // Its hub has gone, perhaps without a word: all its tabs begin anew.
      if (this.#hub) setTimeout(() => { this.#post({ hub: this.#hub as string, lost: GONE }); this.#lost(GONE) }, REASON)
      else hub = new Hub(this.#name, new this.#BroadcastChannel(this.#name), this.#locks, open, this.#options)
      return closed
    }).catch(() => {}).finally(() => hub?.end(GONE))
  }

  send (frame: Frame): void {
    const { type, room = '' } = frame
    if (type === 'subscribe') this.#rooms.set(room, { asked: frame, joined: false, held: undefined })
    if (type === 'unsubscribe') this.#rooms.delete(room)
    this.#post({ tab: this.#id, frame })
  }

  probe (): void {
    this.#heard = Date.now() - this.#options.heartbeat * 0.9
    this.#ping()
  }

  close (): void {
    this.#closed.abort()
    clearInterval(this.#watch)
    this.#channel.close()
  }

  #post (message: Said | Told): void {
    if (!this.#closed.signal.aborted) this.#channel.postMessage(message)
  }

  #lost (why: Lost): void {
    if (this.#closed.signal.aborted) return
    this.close()
    this.#events.lost(why)
  }

  /**
   * The tab that leads may be asleep, or its timers so slow that it does not see how its connection died: whoever misses
   * the server's voice for longer than a connection may be silent puts it out of its place.
   */
  #watchOver (heartbeat: number): ReturnType<typeof setInterval> {
    let ticked = Date.now()
    return setInterval(() => {
      const now = Date.now()
      const quiet = now - this.#heard
      const slept = now - ticked > heartbeat / 2
      ticked = now
      if (slept) this.probe()
      else if (quiet > heartbeat * 1.2) {
        this.#locks.request(this.#name, { steal: true }, () => {}).catch(() => {})
        this.#lost({ code: 1006, reason: 'the tab that leads is silent', opened: this.#opened })
      } else if (quiet > heartbeat * 0.6 && !this.#pinged) this.#ping()
    }, heartbeat / 20)
  }

  #ping (): void {
    this.#pinged = true
    if (this.#opened) this.send({ type: 'ping' })
  }

  // --- from the hub

  #hear ({ hub, tab, here, open, frame, lost }: Told): void {
    if (tab && tab !== this.#id) return
    if (here && this.#hub && hub !== this.#hub) return this.#lost(GONE)
    // It has begun, and does not know this tab yet.
    if (here && !tab) return this.#post({ tab: this.#id })
    if (here) {
      this.#hub = hub
      this.transport = here
    }
    if (hub !== this.#hub) return
    this.#heard = Date.now()
    this.#pinged = false
    if (lost) this.#lost(lost)
    if (open) this.#events.open()
    if (frame) this.#take(frame)
  }

  #take (frame: Frame): void {
    const { type, ref, room: name = '' } = frame
    const room = this.#rooms.get(name)
    if (type === 'welcome') this.#opened = true
    if (type === 'standing') {
      if (ref === room?.asked.ref) void this.#catchUp(name, room!, frame as Frame & { id: string })
    } else if (type === 'subscribed') {
      if (ref === room?.asked.ref) this.#join(room!, [frame])
    } else if (type === 'error' || type === 'published' || !name) {
      if (type === 'error' && room && ref === room.asked.ref) this.#rooms.delete(name)
      this.#give(frame)
    } else if (room?.held) room.held.push(frame)
    else if (room?.joined) this.#giveTo(room, frame)
  }

  /** Throws nothing: where a frame is out of protocol, the link is lost. */
  #give (frame: Frame): void {
    try {
      if (!this.#closed.signal.aborted) this.#events.frame(frame)
    } catch (error) {
      this.#lost({ code: 1006, reason: String(error), opened: true })
    }
  }

  /** Unless it was left meanwhile. */
  #giveTo (room: TabRoom, frame: Frame): void {
    const { type, room: name = '' } = frame
    if (this.#rooms.get(name) !== room || ((type === 'join' || type === 'leave') && !room.asked['presence'])) return
    if (type === 'unsubscribed') this.#rooms.delete(name)
    this.#give(frame)
  }

  /** `missed` begins with the answer to its subscribe. */
  #join (room: TabRoom, missed: Frame[]): void {
    const { held = [] } = room
    room.joined = true
    room.held = undefined
    // What was read may reach beyond where the wire stood.
    const last = held.map(({ id }) => id).lastIndexOf(missed.at(-1)!['id'])
    for (const frame of [...missed, ...held.slice(last + 1)]) this.#giveTo(room, frame)
  }

  /** To where the wire stands, at `id`: what follows comes by itself. It answers as the server would. */
  async #catchUp (name: string, room: TabRoom, { id, windowed, ref }: Frame & { id: string }): Promise<void> {
    const { since, replay } = room.asked
    const subscribed: Frame = { type: 'subscribed', room: name, id, replayed: 0, ref }
    if (!since && !replay) return this.#join(room, [subscribed])
    if (since === id && windowed) return this.#join(room, [{ ...subscribed, recovered: true }])
    room.held = []
    try {
      this.#join(room, await readMissed(this.#options, room.asked, id, this.#closed.signal))
    } catch (error) {
      if (this.#rooms.get(name) !== room) return
      const { code, message, status = 500, retryAfter } = error as Error & { code?: string, status?: number, retryAfter?: number }
      if (status >= 500 || status === 401 || status === 429) return this.#lost({ code: status === 401 ? 4401 : 1006, reason: message, opened: true, retryAfter })
      this.#post({ tab: this.#id, frame: { type: 'unsubscribe', room: name } })
      this.#take({ type: 'error', room: name, code, message, ref })
    }
  }
}

import type { Frame, Link, LinkOptions, Lost, OpenLink, Transport } from './types.js'

// What is used of the platform, so that neither the DOM's types nor Node's are needed.
export interface Channel { onmessage: ((event: any) => void) | null, postMessage (message: unknown): void, close (): void }
export interface Locks {
  request (name: string, options: { signal?: AbortSignal, steal?: boolean }, granted: () => unknown): Promise<unknown>
  query (): Promise<unknown>
}

/** What a tab says to the hub. Without a frame: that it is there. */
export interface Said { tab: string, frame?: Frame }
/** What a hub says to one tab, or to all: that it is there, and by which transport; that frames are taken; a frame; that it is over, and why. */
export interface Told { hub: string, tab?: string | undefined, here?: Transport, open?: true, frame?: Frame, lost?: Lost }

/** A room on the wire. */
interface SharedRoom {
  /** Where the wire stands; undefined until the server has answered. */
  id: string | undefined
  /** Where it stood before it was subscribed to anew. */
  before: string | undefined
  presence: boolean
  readonly tabs: Set<string>
  /** Subscribes that wait for the server's answer to one before them. */
  waiting: Array<[tab: string, frame: Frame]>
}

export const lockOf = (name: string, tab: string): string => `${name} tab ${tab}`

/** The one link to the server, in the tab that leads: it subscribes each room once, for all tabs. */
export class Hub {
  readonly #id = newId()
  readonly #name: string
  readonly #channel: Channel
  readonly #locks: Locks
  readonly #over = new AbortController()
  readonly #tabs = new Set<string>()
  readonly #rooms = new Map<string, SharedRoom>()
  /** Who has asked what, by the reference on the wire. The hub itself is no tab. */
  readonly #asked = new Map<unknown, { tab: string | undefined, frame: Frame }>()
  /** What the server has said of the connection. */
  readonly #greeting: Frame[] = []
  #transport: Transport
  #link: Link | undefined
  #open = false
  #refs = 0
  /** The server keeps messages, and has said so by a resume. */
  #windowed = false

  constructor (name: string, channel: Channel, locks: Locks, open: OpenLink, options: LinkOptions) {
    this.#name = name
    this.#channel = channel
    this.#locks = locks
    this.#transport = options.transport
    channel.onmessage = ({ data }) => { if (!(data as Told).hub) this.#hear(data as Said) }
    this.#tell({ here: this.#transport })
    void this.#connect(open, options)
  }

  end (lost: Lost): void {
    if (this.#over.signal.aborted) return
    this.#over.abort()
    this.#link?.close()
    this.#tell({ lost })
    this.#channel.close()
  }

  async #connect (open: OpenLink, options: LinkOptions): Promise<void> {
    try {
      this.#link = await open(options, {
        open: () => {
          this.#open = true
          this.#tell({ open: true })
        },
        frame: (frame) => this.#take(frame),
        lost: (why) => this.end(why)
      })
      if (this.#over.signal.aborted) this.#link.close()
    } catch (error) {
      this.end({ code: 1006, reason: String(error), opened: false })
    }
  }

  #tell (what: Omit<Told, 'hub'>): void {
    this.#channel.postMessage({ hub: this.#id, ...what })
  }

  // --- from the tabs

  #hear ({ tab, frame }: Said): void {
    if (!frame) this.#welcome(tab)
    else if (this.#tabs.has(tab)) this.#obey(tab, frame)
  }

  #welcome (tab: string): void {
    if (this.#tabs.has(tab)) return
    this.#tabs.add(tab)
    this.#tell({ tab, here: this.#transport })
    if (this.#open) this.#tell({ tab, open: true })
    for (const frame of this.#greeting) this.#tell({ tab, frame })
    // It holds its lock for as long as it is there.
    this.#locks.request(lockOf(this.#name, tab), { signal: this.#over.signal }, () => {
      this.#tabs.delete(tab)
      for (const room of [...this.#rooms.keys()]) this.#leave(room, tab)
    }).catch(() => {})
  }

  #obey (tab: string, frame: Frame): void {
    const { type, room: name = '', ref } = frame
    if (type === 'unsubscribe') return this.#leave(name, tab)
    // Event streams know no pings; they look after themselves.
    if (type === 'ping' && this.#transport === 'events') return this.#tell({ tab, frame: { type: 'pong', ref } })
    if (type !== 'subscribe') return this.#ask(tab, frame)
    const room = this.#rooms.get(name)
    if (!room) {
      this.#rooms.set(name, { id: undefined, before: undefined, presence: !!frame['presence'], tabs: new Set([tab]), waiting: [] })
      this.#ask(tab, frame)
    } else if (room.id === undefined) room.waiting.push([tab, frame])
    else this.#admit(name, room, tab, frame)
  }

  /** To a room on the wire: the tab catches up by itself to where the wire stands. What follows comes after this. */
  #admit (name: string, room: SharedRoom, tab: string, frame: Frame): void {
    if (frame['presence'] && !room.presence) {
      // Only a subscribe can ask for it.
      this.#link!.send({ type: 'unsubscribe', room: name })
      room.waiting.push([tab, frame])
      this.#resubscribe(name, room, true)
    } else {
      room.tabs.add(tab)
      this.#tell({ tab, frame: { type: 'standing', room: name, id: room.id, windowed: this.#windowed, ref: frame.ref } })
    }
  }

  #resubscribe (name: string, room: SharedRoom, presence: boolean): void {
    room.before ??= room.id
    room.id = undefined
    room.presence = presence
    this.#ask(undefined, { type: 'subscribe', room: name, since: room.before, presence })
  }

  #leave (name: string, tab: string): void {
    const room = this.#rooms.get(name)
    if (!room) return
    room.tabs.delete(tab)
    room.waiting = room.waiting.filter(([waiting]) => waiting !== tab)
    if (room.tabs.size + room.waiting.length > 0) return
    this.#rooms.delete(name)
    this.#link!.send({ type: 'unsubscribe', room: name })
  }

  #ask (tab: string | undefined, frame: Frame): void {
    const ref = ++this.#refs
    this.#asked.set(ref, { tab, frame })
    this.#link!.send({ ...frame, ref })
  }

  // --- from the server

  #take (frame: Frame): void {
    const { type, ref, room: name = '' } = frame
    const asked = this.#asked.get(ref)
    const room = this.#rooms.get(name)
    if (asked && type !== 'unsubscribed') {
      this.#asked.delete(ref)
      if (asked.frame.type === 'subscribe') this.#answer(asked.tab, asked.frame, frame)
      else this.#tell(type === 'pong' ? { frame: { type } } : { tab: asked.tab, frame: { ...frame, ref: asked.frame.ref } })
    } else if (type === 'welcome' || type === 'authenticated') {
      this.#greeting.push(frame)
      this.#tell({ frame })
    } else if (!name) this.#tell({ frame: { ...frame, ref: undefined } })
    // Before a subscribe is answered, what comes is of the one before.
    else if (room?.id && frame['code'] !== 'FAN_OUT_UNSUBSCRIBED') {
      if (type === 'unsubscribed') this.#rooms.delete(name)
      else if (frame['id']) room.id = frame['id'] as string
      this.#tell({ frame: { ...frame, ref: undefined } })
    }
  }

  /** The server has answered a subscribe, of a tab or of the hub itself. */
  #answer (tab: string | undefined, { room: name = '', ref }: Frame, frame: Frame): void {
    const room = this.#rooms.get(name)
    if (tab) this.#tell({ tab, frame: { ...frame, ref } })
    if (!room || room.id !== undefined) return
    const { waiting } = room
    room.waiting = []
    if (frame.type === 'subscribed') {
      room.id = frame['id'] as string
      room.before = undefined
      this.#windowed ||= !!frame['recovered']
      for (const [tab, frame] of waiting) this.#obey(tab, frame)
    } else if (tab) {
      // Another may have the right.
      this.#rooms.delete(name)
      for (const [tab, frame] of waiting) this.#obey(tab, frame)
    } else if (room.presence) {
      // The others go on without.
      for (const [tab, asked] of waiting) if (asked['presence']) this.#tell({ tab, frame: { ...frame, ref: asked.ref } })
      room.waiting = waiting.filter(([, asked]) => !asked['presence'])
      this.#resubscribe(name, room, false)
    } else {
      this.#rooms.delete(name)
      this.#tell({ frame: { type: 'unsubscribed', room: name, code: frame['code'], reason: frame['message'] } })
      for (const [tab, frame] of waiting) this.#obey(tab, frame)
    }
  }
}

export function newId (): string {
  return Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2)
}

import type { Rooms } from '../rooms/rooms.js'
import type { Sink, Subscriber } from '../rooms/subscriber.js'
import type { Announcement, Signed, Told } from './messages.js'
import { errors } from '../errors.js'
import { roomOf, SERVERS } from './messages.js'
import { Outbox } from './outbox.js'

// How often a server says that it is alive, at the most, in ms; and soon after that failed.
const INTERVAL = 5_000
const AGAIN = 1_000
// A server that said nothing during so many heartbeats of ours is taken for dead: after 12 to 20 s.
const LOST = 4
// How much of what was said before a start is looked through for who is there.
const RECENT = 1_000

/** Another server that is held to be alive. */
export interface Peer {
  readonly server: string
  readonly outbox: Outbox
  /** The rooms that it watches. */
  readonly watches: Set<string>
  /** Our heartbeats since it was last heard. */
  missed: number
  /** It may not have got what it was told, and is to be greeted again. */
  behind: boolean
  /** The number of the last thing that it told us. */
  last: number
}

export interface DirectoryEvents {
  /** It may not know us, or not all that it should: it is to be greeted. */
  met (peer: Peer): void
  told (peer: Peer, message: Told): void
  /** `peer` is undefined where the question was ours: all who could hear it before us are known now. */
  asked (peer: Peer | undefined, room: string, ask: number): void
  lost (peer: Peer): void
}

/**
 * The servers that are alive, and what they say to each other: all to all in one internal room, and to each in its own.
 *
 * Silence is measured in our own heartbeats that came back, in the order that the room gives to all. So no clock is
 * compared; and who is cut off from the broker, or asleep, takes nobody for dead meanwhile, since it does not hear itself.
 */
export class Directory {
  readonly server: string
  readonly peers = new Map<string, Peer>()
  readonly #rooms: Rooms
  readonly #events: DirectoryEvents
  readonly #outbox: Outbox
  #count = 0
  #own: Subscriber | undefined
  #all: Subscriber | undefined
  /** Something may have been missed: everybody is asked to greet us. */
  #strange = true
  #beating = false
  #cancelBeat: (() => void) | undefined
  #gone = false

  constructor (rooms: Rooms, server: string, events: DirectoryEvents) {
    this.server = server
    this.#rooms = rooms
    this.#events = events
    this.#outbox = new Outbox(rooms, SERVERS)
  }

  /** Rejects where the broker is away; to be called again then. */
  async start (): Promise<void> {
    this.#own ??= await this.#rooms.subscribe(roomOf(this.server), this.#sink<Told>((message) => this.#told(message)), {})
    // Who spoke lately is waited for until it is found dead: so the first list that is asked for is already whole.
    this.#all ??= await this.#rooms.subscribe(SERVERS, this.#sink<Announcement>((message, live) => this.#heard(message, live)), { last: RECENT })
    if (!this.#beating && this.#cancelBeat === undefined) void this.#beat()
  }

  /** Says that this server goes. */
  async close (): Promise<void> {
    this.#cancelBeat?.()
    await this.say({ do: 'gone' })
  }

  /** Says it to all. Resolves with the error where it could not be said. */
  async say (message: Announcement): Promise<Error | undefined> {
    // Nothing after the farewell: whoever heard it would wait for us.
    if (this.#gone) return new errors.Closing()
    if (message.do === 'gone') this.#gone = true
    return await this.#outbox.send(this.#sign(message))
  }

  tell (peer: Peer, message: Told): void {
    void peer.outbox.send(this.#sign(message)).then((error) => { if (error !== undefined) peer.behind = true })
  }

  #sign (message: Announcement | Told): string {
    return JSON.stringify({ from: this.server, n: ++this.#count, ...message })
  }

  #sink<Said> (hear: (message: Signed<Said>, live: boolean) => void): Sink {
    return {
      subscribed () {},
      write: ({ entries }, live) => {
        for (const entry of entries) {
          if (entry.type === 'message') hear(JSON.parse(entry.text) as Signed<Said>, live)
          else this.#missed()
        }
        return true
      },
      snapshot: () => true,
      ended () {}
    }
  }

  /** The broker lost something that was said. */
  #missed (): void {
    this.#strange = true
    if (this.#beating || this.#gone || this.#cancelBeat === undefined) return
    this.#cancelBeat()
    void this.#beat()
  }

  async #beat (): Promise<void> {
    this.#beating = true
    if (this.#strange) {
      this.#strange = false
      if (await this.say({ do: 'hello' }) !== undefined) this.#strange = true
    }
    const failed = await this.say({ do: 'alive' }) !== undefined || this.#strange
    this.#beating = false
    if (this.#gone) return
    const { scheduler } = this.#rooms
    this.#cancelBeat = scheduler.after(failed ? AGAIN : INTERVAL * (0.8 + 0.2 * scheduler.random()), () => { void this.#beat() })
  }

  #heard (message: Signed<Announcement>, live: boolean): void {
    if (message.from === this.server) return this.#heardOurselves(message)
    const known = this.peers.get(message.from)
    if (message.do === 'gone') return known && this.#lose(known)
    // What was said before we came only tells who may be there: who is will say so until our next heartbeats.
    if (!live) {
      if (known === undefined) this.#add(message.from, LOST - 2)
      return
    }
    const peer = known ?? this.#add(message.from)
    peer.missed = 0
    if (known === undefined || message.do === 'hello') this.#events.met(peer)
    if (message.do === 'who') this.#events.asked(peer, message.room, message.ask)
  }

  #heardOurselves (message: Announcement): void {
    if (message.do === 'who') this.#events.asked(undefined, message.room, message.ask)
    if (message.do !== 'alive') return
    for (const peer of this.peers.values()) {
      if (++peer.missed >= LOST) this.#lose(peer)
      else if (peer.behind) this.#events.met(peer)
    }
  }

  #told (message: Signed<Told>): void {
    const peer = this.peers.get(message.from) ?? (message.do === 'greet' ? this.#add(message.from) : undefined)
    // What its server had given up can still arrive, after what it said later.
    if (peer === undefined || message.n <= peer.last) return
    peer.last = message.n
    peer.missed = 0
    this.#events.told(peer, message)
  }

  #add (server: string, missed = 0): Peer {
    const peer = { server, outbox: new Outbox(this.#rooms, roomOf(server)), watches: new Set<string>(), missed, behind: false, last: 0 }
    this.peers.set(server, peer)
    return peer
  }

  #lose (peer: Peer): void {
    this.peers.delete(peer.server)
    this.#events.lost(peer)
  }
}

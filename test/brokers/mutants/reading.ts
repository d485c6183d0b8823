import type { Outgoing, Published, ReadRequest, StoredMessage, Window } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import type { Mutants } from './sound.js'
import { bitten, Sound } from './sound.js'

type Results = Promise<Array<Published | Error>>

const later = (delay: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, delay) })
const below = ({ epoch, offset }: Cursor): Cursor => ({ epoch, offset: Math.max(0, offset - 1) })

/** Wrong in what is read. */
export const reading: Mutants = {
  'leaves the hole out': bitten(['expired:', 'epoch:', 'forked:', 'the cursor is above the top of', 'the cursor of one room'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      return { ...window, entries: window.entries.filter(({ type }) => type === 'message') }
    }
  }),
  'reads without what was just published': bitten(['reading on from each position', 'paging while others publish', 'a read sees'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      await later(5)
      return window.entries.length > 1 ? { ...window, entries: window.entries.slice(0, -1), position: below(window.position) } : window
    }
  }),
  'keeps a message only after its publish has resolved': bitten(['a read sees'], class extends Sound {
    readonly #fresh = new Map<string, number>()
    override async publish (messages: readonly Outgoing[]): Results {
      for (const { room } of messages) this.#fresh.set(room, performance.now())
      return await super.publish(messages)
    }

    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      return performance.now() - (this.#fresh.get(room) ?? -100) < 20 ? { ...window, entries: window.entries.slice(0, -1) } : window
    }
  }),
  'reads from a copy of its own that lags behind': bitten(['a read sees', 'two servers: one reads at once'], class extends Sound {
    readonly #window = new Map<string, StoredMessage[]>()
    override deliver (room: string, message: StoredMessage): void {
      setTimeout(() => this.#window.set(room, [...this.#window.get(room) ?? [], message]), 10)
      super.deliver(room, message)
    }

    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      const known = this.#window.get(room) ?? []
      return { ...window, entries: window.entries.filter(({ type, id }) => type === 'gap' || known.some((message) => message.id.offset === id.offset)) }
    }
  }),
  'takes the limit for a hint': bitten(['the oldest, the newest', 'paging while others publish', 'expired:'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      return await super.read(room, { ...request, limit: request.limit + 1 })
    }
  }),
  'always has more': bitten(['the oldest, the newest', 'paging while others publish'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      return { ...await super.read(room, request), more: true }
    }
  }),
  'includes the message of the cursor': bitten(['reading on from each position', 'the oldest, the newest'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      return await super.read(room, request.since === undefined ? request : { ...request, since: below(request.since) })
    }
  }),
  'reads the newest first': bitten(['reading on from each position'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      return { ...window, entries: window.entries.toReversed() }
    }
  }),
  'forgets where a room stands that nobody is in': bitten(['a room in which nothing was ever published'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      if (this.rooms.has(room) || request.since === undefined || request.since.offset > 0) return window
      return { ...window, entries: [{ type: 'gap', id: window.start, reason: 'epoch' }, ...window.entries] }
    }
  }),
  'looks at the offset of a cursor only': bitten(['epoch:'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const { position, entries } = await super.read(room, { limit: 1 })
      const { since } = request
      if (since === undefined || since.offset > position.offset) return await super.read(room, request)
      const { epoch } = since.offset === 0 ? entries[0]?.type === 'message' ? entries[0].previous : position : position
      return await super.read(room, { ...request, since: { epoch, offset: since.offset } })
    }
  }),
  'waits for what is above the top': bitten(['forked:'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      return window.entries[0]?.type === 'gap' && window.entries[0].reason === 'forked' ? { ...window, entries: [] } : window
    }
  }),
  'begins with a hole, for whoever asks': bitten(['the oldest, the newest', 'expired:'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      return { ...window, entries: [{ type: 'gap', id: window.start, reason: 'expired' }, ...window.entries] }
    }
  }),
  'retains less than it was told': bitten(['expired:'], class extends Sound {
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      if (window.entries.length < 12) return window
      const [first, ...rest] = window.entries.slice(-11)
      return { ...window, entries: [{ type: 'gap', id: first!.id, reason: 'expired' }, ...rest], start: first!.id }
    }
  }),
  'opens a new history where a cursor is above the top': bitten(['reading forged cursors'], class extends Sound {
    readonly #forked = new Set<string>()
    override async read (room: string, request: ReadRequest): Promise<Window> {
      const window = await super.read(room, request)
      if (window.entries.some((entry) => entry.type === 'gap' && entry.reason === 'forked')) this.#forked.add(room)
      return window
    }

    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      return (await super.positions(rooms)).map((top, i) => this.#forked.has(rooms[i]!.room) ? { ...top, epoch: top.epoch + 1 } : top)
    }
  })
}

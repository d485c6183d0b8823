import type { ReadRequest } from '../brokers/broker.js'
import type { Cursor } from '../cursor.js'
import type { Entry } from '../message.js'
import type { Room } from './room.js'
import type { Run } from './run.js'
import type { Sink } from './subscriber.js'
import { notAfter, sameCursor } from '../cursor.js'
import { errors, retryAfter } from '../errors.js'
import { Batch, Gap } from '../message.js'
import { Subscriber } from './subscriber.js'

/** Where a subscriber wants to begin: after a cursor, at the oldest message retained, with the last so many, or (none of these) with what comes next. */
export interface From {
  since?: Cursor | 'earliest' | undefined
  last?: number | undefined
}

/** What is used of an `AbortSignal`. */
export interface Abortable {
  /** Throws the reason, once it is aborted. */
  throwIfAborted (): void
}

interface Start {
  id: Cursor
  recovered?: boolean
  replayed: number
  /** A hole right after `id`. */
  gap?: Gap
}

/**
 * How subscribers of a room come to its live stream: join the room at the broker, take what they missed from its tail or
 * from a backlog read from the broker, and go over to live in the same turn in which they have reached the end of the
 * tail. Nothing is buffered for any of them meanwhile. One for all rooms.
 */
export class CatchUp {
  /** Snapshots that are being asked for, and the position that they are for. */
  readonly #snapshots = new Map<Room, { position: Cursor, text: Promise<string | undefined> }>()

  /** Subscribes `sink`. Rejects, leaving nothing behind, where the broker is away or `signal` is aborted meanwhile. */
  async begin (room: Room, sink: Sink, from: From, signal?: Abortable): Promise<Subscriber> {
    if (!room.whole) {
      await room.join()
      if (!room.whole) await room.host.inTime(room.repair())
    }
    const start = await this.#start(room, from)
    signal?.throwIfAborted()
    if (room.closed) throw retryAfter(new errors.Closing())
    const subscriber = new Subscriber(sink, start.gap?.id ?? start.id, room)
    room.subscribers.add(subscriber)
    sink.subscribed({ id: start.id, recovered: start.recovered, replayed: start.replayed }, subscriber)
    if (start.gap !== undefined) {
      room.counts.gaps++
      subscriber.write(new Batch(room.name, [start.gap]), false)
    }
    const owesSnapshot = start.gap !== undefined || from.since === undefined || from.since === 'earliest'
    void this.run(room, subscriber, owesSnapshot && room.host.snapshot !== undefined)
    return subscriber
  }

  /** Brings a subscriber from its position to the live stream, as fast as its sink takes it. */
  async run (room: Room, subscriber: Subscriber, owesSnapshot: boolean): Promise<void> {
    let fresh = false
    while (!subscriber.closed) {
      if (subscriber.full) await subscriber.writable()
      else if (owesSnapshot) owesSnapshot = await this.#snapshot(room, subscriber)
      // The end of the tail is where the room stands.
      else if (sameCursor(subscriber.position, room.position)) return room.makeLive(subscriber)
      else {
        const written = this.#writePiece(room, subscriber, fresh)
        fresh = written === 'nothing' && await this.#readOn(room, subscriber.position)
        owesSnapshot = written === 'gap' && room.host.snapshot !== undefined
      }
    }
  }

  /** Always false: nothing is owed any more. */
  async #snapshot (room: Room, subscriber: Subscriber): Promise<false> {
    const { host, name } = room
    const id = subscriber.position
    try {
      const text = await host.inTime(this.#snapshotAt(room, id))
      if (text !== undefined && !subscriber.closed) subscriber.snapshot(id, text)
    } catch (error) {
      host.log.error({ err: error, room: name }, 'fan-out: the snapshot of a room failed')
      if (subscriber.closed) return false
      room.leave(subscriber)
      subscriber.sink.ended(new errors.Snapshot())
    }
    return false
  }

  /** The snapshot, asked for once by all who stand at the same position: one that was asked for earlier may be older than that. */
  #snapshotAt (room: Room, position: Cursor): Promise<string | undefined> {
    const asked = this.#snapshots.get(room)
    if (asked !== undefined && sameCursor(asked.position, position)) return asked.text
    const { host, name } = room
    const text = (async () => await host.snapshot?.(name))()
    const made = { position, text }
    this.#snapshots.set(room, made)
    text.finally(() => { if (this.#snapshots.get(room) === made) this.#snapshots.delete(room) }).catch(() => {})
    return text
  }

  /** Writes what follows the subscriber's position, as far as it is held here and up to the next gap. */
  #writePiece (room: Room, subscriber: Subscriber, fresh: boolean): 'nothing' | 'something' | 'gap' {
    const found = this.#find(room, subscriber.position, fresh)
    if (found === undefined) return 'nothing'
    const [run, index] = found
    if (index === run.entries.length) {
      // The end of the backlog. Where its last entry is not the top, an epoch has begun since without a loss.
      const { top } = room.backlog
      if (top === undefined || notAfter(top, subscriber.position)) return 'nothing'
      subscriber.position = top
      return 'something'
    }
    const piece = run.piece(room.name, index)
    subscriber.position = piece.end
    room.counts.delivered += piece.entries.length
    subscriber.write(piece, false)
    return piece.entries.at(-1)?.type === 'gap' ? 'gap' : 'something'
  }

  /** The tail or the backlog, whichever holds the position, and the index of the entry after it. `fresh`: the backlog was asked for since the position was given. */
  #find (room: Room, position: Cursor, fresh: boolean): [Run, number] | undefined {
    room.expireTail()
    const { tail } = room
    const inTail = tail.indexAfter(position)
    return inTail >= 0 ? [tail, inTail] : room.backlog.find(position, fresh)
  }

  /** Where what follows `position` is held up to the present. A backlog that the tail has moved away from promises nothing: between the two, messages may be lost by now. */
  #findAll (room: Room, position: Cursor): [Run, number] | undefined {
    const found = this.#find(room, position, false)
    const { tail } = room
    return found === undefined || found[0] === tail || tail.indexAfter(found[0].end) >= 0 ? found : undefined
  }

  /** Reads on from `position`. Where that fails, it answers false, once it is worth trying again. */
  async #readOn (room: Room, position: Cursor): Promise<boolean> {
    try {
      await room.backlog.read(position)
      return true
    } catch (error) {
      room.host.log.error({ err: error, room: room.name }, 'fan-out: the window of a room could not be read, trying again')
      await room.host.retry()
      return false
    }
  }

  async #start (room: Room, from: From): Promise<Start> {
    const { limits, broker } = room.host
    if (broker.windowless === true) return this.#startHere(room, from)
    if (from.since === 'earliest') return await this.#startReading(room, { limit: limits.page })
    if (from.since !== undefined) return await this.#resume(room, from.since)
    if (from.last !== undefined) {
      const last = Math.min(from.last, limits.replay ?? limits.page)
      room.expireTail()
      const { tail } = room
      return last <= tail.entries.length ? { id: before(tail.base, tail.entries, last), replayed: last } : await this.#startReading(room, { last, limit: last })
    }
    return { id: room.position, replayed: 0 }
  }

  /** Where nothing is kept: whoever was away has missed something, as far as anybody can tell. */
  #startHere (room: Room, { since }: From): Start {
    const { name, position: id } = room
    return typeof since === 'object' ? { id, recovered: false, replayed: 0, gap: new Gap(name, id, 'expired') } : { id, replayed: 0 }
  }

  async #startReading (room: Room, request: Pick<ReadRequest, 'last' | 'limit'>): Promise<Start> {
    const window = await room.backlog.readFromEnd(request)
    const replayed = countMessages(window.entries)
    const limit = room.host.limits.replay
    if (limit !== undefined && request.last === undefined && (replayed > limit || window.more)) return await this.#startReading(room, { last: limit, limit })
    return { id: window.start, replayed }
  }

  async #resume (room: Room, since: Cursor): Promise<Start> {
    let found = this.#findAll(room, since)
    while (found === undefined) {
      await room.backlog.read(since)
      found = this.#find(room, since, true)
    }
    const limit = room.host.limits.replay
    const rest = this.#rest(room, ...found)
    const [first] = rest
    const replayed = countMessages(rest)
    if (limit !== undefined && replayed > limit) {
      const id = before(since, rest, limit)
      // What the client has to disown does not depend on how much it is sent.
      const lost = first?.type === 'gap' && first.reason !== 'expired' ? first : undefined
      return { id, recovered: false, replayed: limit, gap: new Gap(room.name, id, lost?.reason ?? 'overflow', lost?.from) }
    }
    if (first?.type === 'gap') return { id: first.id, recovered: false, replayed, gap: first }
    return { id: since, recovered: !rest.some((entry) => entry.type === 'gap'), replayed }
  }

  /** All that is held here after an entry: the backlog, and the tail where it goes on from there. */
  #rest (room: Room, run: Run, index: number): Entry[] {
    const { tail } = room
    const onward = run === tail ? -1 : tail.indexAfter(run.end)
    return onward < 0 ? run.entries.slice(index) : [...run.entries.slice(index), ...tail.entries.slice(onward)]
  }
}

/** The position before the last `count` messages of the entries that follow `base`. */
function before (base: Cursor, entries: readonly Entry[], count: number): Cursor {
  let index = entries.length
  for (let left = count; left > 0; index--) if (entries[index - 1]?.type !== 'gap') left--
  return entries[index - 1]?.id ?? base
}

function countMessages (entries: ReadonlyArray<{ type: 'message' | 'gap' }>): number {
  return entries.reduce((count, { type }) => type === 'message' ? count + 1 : count, 0)
}

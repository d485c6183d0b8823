import type { Frame, History, HistoryOptions, JoinOptions, Member, Published, PublishOptions, Room, RoomEvents, RoomGap, RoomMessage, RoomSnapshot, RoomState } from './types.js'
import { Emitter } from './emitter.js'

/** What a room asks of its client. */
export interface RoomHost {
  /** How many were given out. */
  refs: number
  publish (room: string, data: unknown, options?: PublishOptions): Promise<Published>
  ask (room: string, path: string, signal?: AbortSignal): Promise<any>
  /** Stores where a room stands; without `id` answers what is stored. */
  stored (room: string, id?: string): string | undefined
  left (room: JoinedRoom): void
}

type Told = RoomMessage<any> | RoomGap | RoomSnapshot

// Epochs that are remembered: a broker without a window has one for each server, and for each gap.
const EPOCHS = 1_000
/** What has a place in the room's order. */
const TOLD = ['message', 'gap', 'snapshot'] as const

// Hermes has no such symbol; there the loops that Babel makes look for the other.
const asyncIterator: typeof Symbol.asyncIterator = Symbol.asyncIterator ?? '@@asyncIterator'

/**
 * A room as the application sees it: each message once and in order, or a gap. It does not trust the connection for
 * that: what was had already is dropped, and a resume that was not said to be whole is a gap, whether one is sent or not.
 */
export class JoinedRoom extends Emitter<RoomEvents<any>> implements Room<any> {
  state: RoomState = 'joining'
  id: string | undefined
  error: Error | undefined
  /** Of the subscribe that is under way, or was answered. */
  ref = 0
  /** Called when it is left. */
  over: undefined | (() => void)
  /** Of each epoch the last offset. */
  readonly #seen = new Map<string, number>()
  /** Where a hole is, as far as the server has said, and no gap has come yet; and how many messages may come before it. */
  #owed: string | undefined
  #before = 0
  /** What came while a hole is filled. */
  #held: Frame[] | undefined
  #again: ReturnType<typeof setTimeout> | undefined

  constructor (readonly name: string, readonly options: JoinOptions, readonly host: RoomHost) {
    super()
    const since = options.since ?? host.stored(name)
    if (since && since !== 'earliest') this.#stand(since)
  }

  /** The frame that subscribes to it, from where it stands. */
  subscribe (): Frame {
    const { since, replay, presence } = this.options
    this.ref = ++this.host.refs
    return { type: 'subscribe', room: this.name, since: this.id ?? since, replay, presence, ref: this.ref }
  }

  /** The connection is away, or the server does not want it now; `again` subscribes once more. */
  away (again?: ReturnType<typeof setTimeout>): void {
    this.#reset()
    this.#again = again
    if (this.state === 'joined') this.#become('joining')
  }

  #reset (): void {
    this.ref = 0
    this.#owed = this.#held = undefined
    clearTimeout(this.#again)
  }

  /** Takes what the server says of the room; throws where that is out of protocol. */
  take (frame: any): void {
    const { type, id, from, recovered } = frame
    if (type === 'subscribed' && frame.ref === this.ref) {
      if (!this.id) this.#stand(id)
      else if (!recovered || id !== this.id) {
        [this.#owed] = cursor(id)
        // Where it stands as we do, the hole lies somewhere in what is replayed.
        this.#before = id === this.id ? frame.replayed : 0
      }
      this.#become('joined', recovered)
    } else if (this.state !== 'joined') {
      // Of a subscription before.
    } else if (type === 'join' || type === 'leave') this.emit(frame)
    else if (TOLD.includes(type)) {
      // Now, and not when it is held no longer.
      cursor(id)
      if (from) cursor(from)
      if (this.#held) this.#held.push(frame)
      else this.#obey(frame)
    }
  }

  #obey (frame: any): void {
    const { type, id } = frame
    if (type === 'gap') {
      this.#owed = undefined
      if (frame.reason === 'overflow' && this.options.history) void this.#fill(frame)
      else this.#gap(frame)
      return
    }
    if (this.#owed && !(this.#before-- > 0)) this.#gap({ type: 'gap', room: this.name, id: this.#owed, reason: 'expired' })
    // A repeat; or the gap was enough for somebody to leave.
    if ((type === 'message' && this.#had(id)) || this.state !== 'joined') return
    this.#stand(id)
    this.emit(frame)
  }

  #gap (gap: RoomGap): void {
    const { reason, from } = gap
    this.#owed = undefined
    // What is disowned may come again; all else was had.
    if (reason === 'epoch' || from) this.#seen.clear()
    if (from) this.#stand(from)
    const id = this.#had(gap.id) ? this.id! : gap.id
    this.#stand(id)
    this.emit({ ...gap, id })
  }

  /** Reads over HTTP what the server has not replayed; what cannot be read is the gap that it was. */
  async #fill (gap: RoomGap): Promise<void> {
    const { ref } = this
    const held: Frame[] = this.#held = []
    let whole = false
    try {
      const { missed } = await import('./history.js')
      for await (const message of missed(this, gap.id)) {
        if (ref !== this.ref) return
        this.#obey(message)
      }
      whole = true
    } catch {
      // What could not be read stays the gap that it was.
    }
    if (ref !== this.ref) return
    this.#held = undefined
    if (!whole) this.#gap(gap)
    for (const frame of held) this.take(frame)
  }

  /** Whether it is not after what has come of its epoch. */
  #had (id: string): boolean {
    const [, epoch, offset] = cursor(id)
    return offset <= this.#seen.get(epoch)!
  }

  #stand (id: string): void {
    const [, epoch, offset] = cursor(id)
    if (this.#seen.size === EPOCHS) this.#seen.clear()
    this.#seen.set(epoch, offset)
    this.id = id
    this.host.stored(this.name, id)
  }

  #become (state: RoomState, recovered?: boolean): void {
    this.state = state
    this.emit({ type: 'state', room: this.name, state, recovered, error: this.error })
  }

  end (error?: Error): void {
    if (this.state === 'left') return
    this.#reset()
    this.over?.()
    this.error = error
    this.#become('left')
  }

  leave (): void {
    this.host.left(this)
    this.end()
  }

  publish (data: unknown, options?: PublishOptions): Promise<Published> {
    return this.host.publish(this.name, data, options)
  }

  history ({ signal, ...query }: HistoryOptions = {}): Promise<History<any>> {
    return this.host.ask(this.name, `/history?${new URLSearchParams(JSON.parse(JSON.stringify(query)))}`, signal)
  }

  presence ({ signal }: { signal?: AbortSignal } = {}): Promise<{ room: string, count: number, members: Member[] }> {
    return this.host.ask(this.name, '/presence', signal)
  }

  async * [asyncIterator] (): AsyncGenerator<Told, void, undefined> {
    const queue: any[] = []
    let wake: undefined | (() => void)
    const take = (event: any): void => {
      queue.push(event)
      wake?.()
    }
    const types = [...TOLD, 'state'] as const
    for (const type of types) this.addEventListener(type, take)
    try {
      while (this.state !== 'left' || queue[0]) {
        const event = queue.shift()
        if (!event) await new Promise<void>((resolve) => { wake = resolve })
        else if (event.type !== 'state') yield event
      }
      if (this.error) throw this.error
    } finally {
      for (const type of types) this.removeEventListener(type, take)
    }
  }
}

/** A cursor, its epoch and its offset; throws where it is none. */
export function cursor (id: string): [id: string, epoch: string, offset: number] {
  const [, epoch, offset] = /^(\d+)-(\d+)$/.exec(id)!
  return [id, epoch!, Number(offset)]
}

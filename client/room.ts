import type { Frame, History, HistoryOptions, JoinOptions, Member, Published, PublishOptions, Room, RoomEvents, RoomGap, RoomMessage, RoomSnapshot, RoomState } from './types.js'
import { eventOf, target } from './target.js'

/** What a room asks of its client. */
export interface RoomHost {
  /** How many were given out. */
  refs: number
  publish (room: string, data: unknown, options?: PublishOptions): Promise<Published>
  ask (room: string, path: string, signal?: AbortSignal): Promise<any>
  /** It stands at its `id` now. */
  moved (room: JoinedRoom): void
  left (room: JoinedRoom): void
}

type Told = RoomMessage<any> | RoomGap | RoomSnapshot

// Epochs that are remembered: a broker without a window has one for each server, and for each gap.
const EPOCHS = 1_000
// In ms: how long a page of the history is waited for.
const PAGE = 10_000
/** What has a place in the room's order. */
const TOLD = /^(message|gap|snapshot)$/

/**
 * A room as the application sees it: each message once and in order, or a gap. It does not trust the connection for
 * that: what was had already is dropped, and a resume that was not said to be whole is a gap, whether one is sent or not.
 */
export class JoinedRoom extends target<RoomEvents<any>>() implements Room<any> {
  state: RoomState = 'joining'
  id: string | undefined
  error: Error | undefined
  /** Of the subscribe that is under way, or was answered. */
  ref = 0
  /** Aborted when it is left. */
  readonly over = new AbortController()
  /** Of each epoch the last offset. */
  readonly #seen = new Map<string, number>()
  /** Where a hole is, as far as the server has said, and no gap has come yet; and how many messages may come before it. */
  #owed: string | undefined
  #before = 0
  /** What came while a hole is filled. */
  #held: Frame[] | undefined
  #again: ReturnType<typeof setTimeout> | undefined
  /** Of those who iterate. */
  readonly #takers = new Set<(event?: Told) => void>()

  constructor (readonly name: string, readonly options: JoinOptions, readonly host: RoomHost) {
    super()
    const { since } = options
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
    } else if (type === 'join' || type === 'leave') this.#tell(frame)
    else if (TOLD.test(type)) {
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
    this.#tell(frame)
  }

  #gap (gap: RoomGap): void {
    const { reason, from } = gap
    this.#owed = undefined
    // What is disowned may come again; all else was had.
    if (reason === 'epoch' || from) this.#seen.clear()
    if (from) this.#stand(from)
    const id = this.#had(gap.id) ? this.id! : gap.id
    this.#stand(id)
    this.#tell({ ...gap, id })
  }

  /** Reads over HTTP what the server has not replayed; what cannot be read is the gap that it was. */
  async #fill (gap: RoomGap): Promise<void> {
    const { ref, name: room } = this
    const held: Frame[] = this.#held = []
    const [,, end] = cursor(gap.id)
    let whole = false
    try {
      while (!whole) {
        const { complete, more, messages } = await this.history({ since: this.id!, limit: 1_000, signal: AbortSignal.timeout?.(PAGE) })
        if (!complete || (more && !messages[0])) break
        whole = !more
        for (const message of messages) {
          const [,, offset] = cursor(message.id)
          if (ref !== this.ref) return
          // What comes after it is replayed.
          if (offset <= end) this.#obey({ ...message, type: 'message', room })
          if (offset >= end) whole = true
        }
      }
    } catch {}
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

  /** Throws where `id` is no cursor. */
  #stand (id: string): void {
    const [, epoch, offset] = cursor(id)
    if (this.#seen.size === EPOCHS) this.#seen.clear()
    this.#seen.set(epoch, offset)
    this.id = id
    this.host.moved(this)
  }

  #become (state: RoomState, recovered?: boolean): void {
    this.state = state
    this.#tell({ type: 'state', room: this.name, state, recovered, error: this.error })
  }

  #tell (event: any): void {
    if (TOLD.test(event.type) || this.state === 'left') for (const take of this.#takers) take({ ...event })
    this.dispatchEvent(eventOf(event))
  }

  end (error?: Error): void {
    if (this.state === 'left') return
    this.#reset()
    this.over.abort()
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

  async * [Symbol.asyncIterator] (): AsyncGenerator<Told, void, undefined> {
    const queue: any[] = []
    let wake: undefined | (() => void)
    const take = (event: any): void => {
      queue.push(event)
      wake?.()
    }
    this.#takers.add(take)
    try {
      while (this.state !== 'left' || queue[0]) {
        if (!queue[0]) await new Promise<void>((resolve) => { wake = resolve })
        else if (queue[0].type === 'state') break
        else yield queue.shift()
      }
      if (this.error) throw this.error
    } finally {
      this.#takers.delete(take)
    }
  }
}

/** A cursor, its epoch and its offset. */
function cursor (id: string): [id: string, epoch: string, offset: number] {
  const [, epoch, offset] = /^(\d+)-(\d+)$/.exec(id)!
  return [id, epoch!, Number(offset)]
}

import type { Frame, History, HistoryOptions, JoinOptions, Member, Published, PublishOptions, Room, RoomEvents, RoomGap, RoomMessage, RoomSnapshot, RoomState } from './types.js'
import { target } from './target.js'

/** What a room asks of its client. */
export interface RoomHost {
  /** A number that was not used before. */
  ref (): number
  publish (room: string, data: unknown, options?: PublishOptions): Promise<Published>
  ask (room: string, path: string, signal?: AbortSignal): Promise<any>
  /** It stands at its `id` now. */
  moved (room: JoinedRoom): void
  left (room: JoinedRoom): void
}

type Told = RoomMessage<any> | RoomGap | RoomSnapshot

// Epochs that are remembered: a broker without a window has one for each server, and for each gap.
const EPOCHS = 1_000

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
  /** Of each epoch the last offset. */
  readonly #seen = new Map<string, number>()
  /** Where a hole is, as far as the server has said, and no gap has come yet. */
  #owed: string | undefined
  /** What came while a hole is filled. */
  #held: Frame[] | undefined
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
    this.ref = this.host.ref()
    return { type: 'subscribe', room: this.name, since: this.id ?? since, replay, presence, ref: this.ref }
  }

  /** The connection is away. */
  away (): void {
    this.ref = 0
    this.#owed = this.#held = undefined
    if (this.state === 'joined') this.#become('joining')
  }

  /** Takes what the server says of the room; throws where that is out of protocol. */
  take (frame: any): void {
    const { type, id, recovered } = frame
    if (type === 'subscribed' && frame.ref === this.ref) {
      if (!this.id) this.#stand(id)
      else if (!recovered || id !== this.id) [this.#owed] = cursor(id)
      this.#become('joined', recovered)
    } else if (this.state !== 'joined') {
      // Of a subscription before.
    } else if (this.#held) this.#held.push(frame)
    else if (type === 'join' || type === 'leave') this.#tell(frame)
    else if (type === 'gap') this.#gap(frame)
    else if (type === 'message' || type === 'snapshot') {
      if (this.#owed) this.#gap({ type: 'gap', room: this.name, id: this.#owed, reason: 'expired' })
      const [, epoch, offset] = cursor(id)
      // A repeat.
      if (type === 'message' && offset <= this.#seen.get(epoch)!) return
      this.#stand(id)
      this.#tell(frame)
    }
  }

  #gap (gap: RoomGap): void {
    const { id, reason, from } = gap
    this.#owed = undefined
    if (reason === 'overflow' && this.options.history) {
      void this.#fill(gap)
      return
    }
    // What is disowned may come again.
    if (reason === 'epoch' || from) this.#seen.clear()
    if (from) this.#stand(from)
    this.#stand(id)
    this.#tell(gap)
  }

  /** Reads over HTTP what the server has not replayed; what cannot be read is the gap that it was. */
  async #fill (gap: RoomGap): Promise<void> {
    const { ref, name: room } = this
    const held: Frame[] = this.#held = []
    let reason: RoomGap['reason'] = 'expired'
    try {
      for (let more = true; more;) {
        const page = await this.history({ since: this.id!, limit: 1_000 })
        if (ref !== this.ref) return
        if (!page.complete) break
        this.#held = undefined
        for (const message of page.messages) {
          this.take({ ...message, type: 'message', room })
          if (message.id === gap.id) page.more = false
        }
        this.#held = held
        more = page.more
        if (!more) reason = ''
      }
    } catch {}
    if (ref !== this.ref) return
    this.#held = undefined
    if (reason) this.#gap({ ...gap, reason })
    for (const frame of held) this.take(frame)
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

  #tell ({ type, ...fields }: any): void {
    if (type === 'message' || type === 'gap' || type === 'snapshot' || this.state === 'left') for (const take of this.#takers) take({ type, ...fields })
    this.dispatchEvent(Object.assign(new Event(type), fields))
  }

  end (error?: Error): void {
    if (this.state === 'left') return
    this.away()
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

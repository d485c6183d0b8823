import type { Member, Room, RoomGap, RoomStateEvent } from '../../../client/types.js'
import type { Announcer } from './announcer.js'
import { make, plural } from './dom.js'
import { Log } from './log.js'

const LOST: Record<string, string> = {
  expired: 'They are older than what the server keeps.',
  epoch: 'The history of the room was lost, or begun again.',
  overflow: 'There were more than could be held for this page.',
  forked: 'The history forked in a failover.'
}

export interface RoomViewOptions {
  announcer: Announcer
  /** A message has come. */
  arrived (room: string, id: string): void
  leave (view: RoomView): void
}

/** A room as it is shown: who is there, where this page stands in it, and what has come. */
export class RoomView {
  readonly element = make('section', '', 'room')
  /** Where this page stands; undefined before anything is known. */
  cursor: string | undefined
  readonly #log: Log
  readonly #options: RoomViewOptions
  readonly #state = make('span', '', 'dot')
  readonly #count = make('span')
  readonly #gaps = make('strong')
  readonly #cursor = make('code', 'none yet', 'cursor')
  readonly #present = make('details', '', 'present')
  #room: Room | undefined
  #messages = 0
  #missing = 0
  #joined = false

  constructor (readonly name: string, options: RoomViewOptions) {
    this.#options = options
    this.#log = new Log(`Messages of ${name}`)
    const title = make('h3', name)
    const leave = make('button', 'Leave', 'small')
    leave.setAttribute('aria-label', `Leave ${name}`)
    leave.addEventListener('click', () => options.leave(this))
    this.#state.setAttribute('aria-hidden', 'true')
    this.#present.hidden = true
    const head = make('div', '', 'head')
    head.append(this.#state, title, this.#present, leave)
    const where = make('p', '', 'where')
    where.append(this.#count, this.#gaps, make('span', 'cursor', 'label'), this.#cursor)
    this.element.setAttribute('aria-label', `Room ${name}`)
    this.element.append(head, where, this.#log.element)
    this.#update('joining')
  }

  /** Shows what is told of the room, until `signal`. */
  follow (room: Room, signal: AbortSignal): void {
    this.#room = room
    room.addEventListener('state', (event) => this.#become(event), { signal })
    room.addEventListener('message', ({ id, data }) => {
      this.#messages++
      const text = pretty(data)
      this.#log.add({ kind: 'message', id, text })
      this.#options.arrived(this.name, id)
      this.#options.announcer.message(this.name, text)
      this.#update()
    }, { signal })
    room.addEventListener('snapshot', ({ id, data }) => {
      this.#log.add({ kind: 'message', id, title: 'Snapshot', text: pretty(data) })
      this.#update()
    }, { signal })
    room.addEventListener('gap', (gap) => this.#gap(gap), { signal })
  }

  unfollow (): void {
    this.#room?.leave()
    this.element.remove()
  }

  /** Undefined where it is not known. */
  showPresent (members: Member[] | undefined): void {
    this.#present.hidden = members === undefined
    if (members === undefined) return
    const list = make('ul')
    list.append(...members.map(({ user, connection }) => make('li', user ?? `anonymous, connection ${connection}`)))
    // What is open stays open: only the contents change.
    this.#present.replaceChildren(make('summary', `${members.length} here`), list)
  }

  #become ({ state, recovered, error }: RoomStateEvent): void {
    if (state === 'joined') {
      this.#joined = true
      this.#note(recovered === undefined ? 'Joined' : recovered ? 'Resumed where it was, nothing lost' : 'Joined again, with a loss')
    } else if (state === 'left') {
      this.#joined = false
      if (error) this.#note(`Not in the room: ${error.message}`, 'refused')
    } else if (this.#joined) this.#note('The connection is away', 'away')
    this.#update(error ? 'refused' : state)
  }

  #gap ({ id, reason, from }: RoomGap): void {
    this.#missing++
    const disowned = from ? ` What came after ${from} no longer counts.` : ''
    const text = `${LOST[reason] ?? reason}${disowned}`
    this.#log.add({ kind: 'gap', id, title: 'Messages are missing here', text })
    this.#options.announcer.say(`${this.name}: messages are missing. ${text}`)
    this.#update()
  }

  #note (text: string, kind: 'note' | 'away' | 'refused' = 'note'): void {
    this.#log.add({ kind, text })
    this.#options.announcer.say(`${this.name}: ${text}`)
  }

  #update (state?: string): void {
    this.cursor = this.#room?.id ?? this.cursor
    if (state) this.element.dataset['state'] = state
    this.#count.textContent = plural(this.#messages, 'message')
    this.#gaps.textContent = this.#missing ? plural(this.#missing, 'gap') : ''
    this.#cursor.textContent = this.cursor ?? 'none yet'
  }
}

/** A line where it is short, indented where it is not. */
function pretty (data: unknown): string {
  const short = JSON.stringify(data)
  return short.length <= 100 ? short : JSON.stringify(data, null, 2)
}

import type { Client, ClientStateEvent, ConnectOptions } from '../../../client/types.js'
import type { RoomView } from './room-view.js'
import { connect } from '../../../client/index.js'
import { Network } from './network.js'

export interface Choice { transport: NonNullable<ConnectOptions['transport']>, token: string }

/** `name` is one of the client's, or `cut` and `refused`, which are this page's; `text` says it. */
export interface Shown { name: 'connecting' | 'open' | 'waiting' | 'closed' | 'cut' | 'refused', text: string }

type Told = Pick<ClientStateEvent, 'state' | 'transport' | 'retryIn' | 'error'>

// Of a room that is joined for the first time, so many messages that are there already.
const REPLAY = 20
const NAMES = { websocket: 'WebSocket', events: 'Server-Sent Events' }

/** The page's one client, with all rooms. Another takes its place where another transport or token is chosen, and each room goes on where it stood. */
export class Connection {
  readonly rooms = new Map<string, RoomView>()
  readonly network = new Network()
  readonly #show: (shown: Shown) => void
  #client: Client | undefined
  #present = new AbortController()
  #event: Told | undefined

  constructor (show: (shown: Shown) => void) {
    this.#show = show
  }

  open ({ transport, token }: Choice): void {
    // Nothing of what the client before still says is listened to.
    this.#present.abort()
    this.#present = new AbortController()
    this.#client?.close()
    this.#client = connect('/rooms', { transport, share: this.network.share, ...(token && { token }) })
    this.#client.addEventListener('state', (event) => this.#tell(event), { signal: this.#present.signal })
    this.#tell({ state: 'connecting', transport: undefined, retryIn: undefined, error: undefined })
    for (const view of this.rooms.values()) this.#follow(view)
  }

  join (view: RoomView): void {
    this.rooms.set(view.name, view)
    this.#follow(view)
  }

  leave (view: RoomView): void {
    this.rooms.delete(view.name)
    view.unfollow()
  }

  cut (): void {
    this.network.cut()
    this.#tell()
  }

  mend (): void {
    this.network.mend()
    // What a browser says when its network is back; whoever waits tries at once.
    if (this.#client?.state === 'waiting') dispatchEvent(new Event('online'))
    this.#tell()
  }

  #follow (view: RoomView): void {
    if (!this.#client || this.#client.state === 'closed') return
    const since = view.cursor
    view.follow(this.#client.join(view.name, { history: true, ...(since ? { since } : { replay: REPLAY }) }), this.#present.signal)
  }

  #tell (event = this.#event): void {
    this.#event = event
    if (event) this.#show(this.network.isCut && event.state !== 'closed' ? { name: 'cut', text: 'Cut: nothing reaches this page' } : describe(event))
  }
}

function describe ({ state, transport, retryIn = 0, error }: Told): Shown {
  switch (state) {
    case 'open': return { name: 'open', text: `Connected over ${NAMES[transport ?? 'websocket']}` }
    case 'waiting': return { name: 'waiting', text: `Connection lost: again ${retryIn < 1000 ? 'at once' : `in ${Math.round(retryIn / 1000)} s`}` }
    case 'closed': return error ? { name: 'refused', text: `Refused: ${error.message}` } : { name: 'closed', text: 'Not connected' }
    case 'connecting': return { name: 'connecting', text: 'Connecting…' }
  }
}

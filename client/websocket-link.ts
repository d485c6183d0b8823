import type { Frame, Link, LinkEvents, LinkOptions, WebSocketLike } from './types.js'

// So many frames a second are what a server takes unless it says otherwise, and four times as many at once. We send no more than
// that in 2 s, and twice as many where the end of one such period is the beginning of another.
const FRAMES_PER_SECOND = 50
const SECONDS = 2

/** A WebSocket that finds out when it is dead, and never sends more frames than the server takes. */
export class WebSocketLink implements Link {
  readonly transport = 'websocket'
  readonly #events: LinkEvents
  readonly #socket: WebSocketLike
  readonly #silence: number
  readonly #watch: ReturnType<typeof setInterval>
  #heard = Date.now()
  #asked = false
  /** It is open, and after that it was welcomed. */
  #open = false
  #opened = false
  #over = false
  readonly #queue: Frame[] = []
  #most = SECONDS * FRAMES_PER_SECOND
  /** In this period. */
  #sent = 0
  #period: ReturnType<typeof setTimeout> | undefined

  constructor ({ url, token, heartbeat, WebSocket }: LinkOptions, events: LinkEvents) {
    this.#events = events
    this.#silence = heartbeat
    // It may throw: before anything is there that would have to be ended.
    const socket = this.#socket = new WebSocket!(url.replace(/^http/, 'ws'), ['fan-out.v1'])
    let ticked = Date.now()
    this.#watch = setInterval(() => {
      const now = Date.now()
      const quiet = now - this.#heard
      const slept = now - ticked > heartbeat / 2
      ticked = now
      // Where the machine slept, or the page did, an answer may be waiting.
      if (slept) this.probe()
      else if (quiet > heartbeat) this.#lost(1006, 'silent')
      else if (quiet > heartbeat / 2 && !this.#asked) this.#ask()
    }, heartbeat / 20)
    socket.onopen = () => {
      this.#open = true
      if (token) this.send({ type: 'auth', token })
      events.open()
    }
    socket.onmessage = ({ data }) => this.#take(data)
    socket.onerror = () => {}
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  send (frame: Frame): void {
    this.#queue.push(frame)
    this.#flush()
  }

  probe (): void {
    this.#heard = Date.now() - this.#silence * 0.7
    this.#ask()
  }

  close (): void {
    this.#over = true
    this.#open = false
    clearInterval(this.#watch)
    clearTimeout(this.#period)
    this.#socket.close()
  }

  #ask (): void {
    this.#asked = true
    // Before that, a token has to be the first frame.
    if (this.#opened) this.send({ type: 'ping' })
  }

  #flush (): void {
    for (; this.#open && this.#queue[0] && this.#sent < this.#most; this.#sent++) this.#socket.send(JSON.stringify(this.#queue.shift()))
    this.#period ??= setTimeout(() => {
      this.#period = undefined
      this.#sent = 0
      if (this.#queue[0]) this.#flush()
    }, SECONDS * 1000)
  }

  #take (text: string): void {
    if (this.#over) return
    this.#heard = Date.now()
    this.#asked = false
    try {
      const frame = JSON.parse(text) as Frame
      if (frame.type === 'welcome') {
        this.#opened = true
        this.#most = SECONDS * (frame['limits'] as { framesPerSecond: number }).framesPerSecond
      }
      this.#events.frame(frame)
    } catch (error) {
      // What it sends cannot be trusted; where the rooms stand can.
      this.#lost(1006, String(error))
    }
  }

  /** A dead socket takes long to close, and then says so: it is not waited for. */
  #lost (code: number, reason: string): void {
    if (this.#over) return
    this.close()
    this.#events.lost({ code, reason, opened: this.#opened })
  }
}

import type { Frame, Link, LinkEvents, LinkOptions, Lost } from './types.js'

// So many frames a second are what a server takes unless it says otherwise, and four times as many at once. We send no more than
// that in 2 s, and twice as many where the end of one such period is the beginning of another.
const FRAMES_PER_SECOND = 50
const SECONDS = 2

/** A WebSocket that finds out when it is dead, and never sends more frames than the server takes. */
export function webSocketLink ({ url, token, heartbeat, WebSocket }: LinkOptions, events: LinkEvents): Link {
  // It may throw: before anything is there that would have to be ended.
  const socket = new WebSocket!(url.replace(/^http/, 'ws'), ['fan-out.v1'])
  const queue: Frame[] = []
  let heard = Date.now()
  let ticked = heard
  let asked = false
  // It is open, and after that it was welcomed.
  let open = false
  let opened = false
  let over = false
  let most = SECONDS * FRAMES_PER_SECOND
  // In this period.
  let sent = 0
  let period: ReturnType<typeof setTimeout> | undefined

  const watch = setInterval(() => {
    const now = Date.now()
    const quiet = now - heard
    const slept = now - ticked > heartbeat / 2
    ticked = now
    // Where the machine slept, or the page did, an answer may be waiting.
    if (slept) probe()
    else if (quiet > heartbeat) lost({ code: 1006, reason: 'silent' })
    else if (quiet > heartbeat / 2 && !asked) ask()
  }, heartbeat / 20)

  function send (frame: Frame): void {
    queue.push(frame)
    flush()
  }

  function probe (): void {
    heard = Date.now() - heartbeat * 0.7
    ask()
  }

  function ask (): void {
    asked = true
    // Before that, a token has to be the first frame.
    if (opened) send({ type: 'ping' })
  }

  function flush (): void {
    if (open) for (; queue[0] && sent < most; sent++) socket.send(JSON.stringify(queue.shift()))
    period ??= setTimeout(() => {
      period = undefined
      sent = 0
      if (queue[0]) flush()
    }, SECONDS * 1000)
  }

  function close (): void {
    over = true
    open = false
    clearInterval(watch)
    clearTimeout(period)
    socket.close()
  }

  /** A dead socket takes long to close, and then says so: it is not waited for. */
  function lost ({ code, reason }: Pick<Lost, 'code' | 'reason'>): void {
    if (over) return
    close()
    events.lost({ code, reason, opened })
  }

  socket.onopen = () => {
    open = true
    if (token) send({ type: 'auth', token })
    events.open()
  }
  socket.onmessage = ({ data }) => {
    if (over) return
    heard = Date.now()
    asked = false
    try {
      const frame = JSON.parse(data) as Frame
      if (frame.type === 'welcome') {
        opened = true
        most = SECONDS * (frame['limits'] as { framesPerSecond: number }).framesPerSecond
      }
      events.frame(frame)
    } catch (error) {
      // What it sends cannot be trusted; where the rooms stand can.
      lost({ code: 1006, reason: String(error) })
    }
  }
  socket.onerror = () => {}
  socket.onclose = lost
  return { transport: 'websocket', send, probe, close }
}

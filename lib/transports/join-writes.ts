import type { Duplex } from 'node:stream'

/** Sockets that are corked until `later` runs what it is given. */
class Joiner {
  readonly #later: (task: () => void) => void
  #sockets: Duplex[] = []
  readonly #release = (): void => {
    const sockets = this.#sockets
    this.#sockets = []
    for (const socket of sockets) socket.uncork()
  }

  constructor (later: (task: () => void) => void) {
    this.#later = later
  }

  join (socket: Duplex): void {
    if (socket.writableCorked > 0) return
    socket.cork()
    if (this.#sockets.push(socket) === 1) this.#later(this.#release)
  }
}

const ofCall = new Joiner(process.nextTick)
const ofTurn = new Joiner(setImmediate)

/**
 * Joins what is written to `socket` by what is running now to one system call, which is what a write costs. It waits for
 * no more than the promises that are settled already.
 */
export function joinWrites (socket: Duplex): void {
  ofCall.join(socket)
}

/** The same for all that is written in this turn of the event loop. */
export function joinWritesOfTurn (socket: Duplex): void {
  ofTurn.join(socket)
}

import type { Duplex } from 'node:stream'

let ofThisCall: Duplex[] = []
let ofThisTurn: Duplex[] = []

/**
 * Joins what is written to `socket` by what is running now to one system call, which is what a write costs. It waits for
 * no more than the promises that are settled already.
 */
export function joinWrites (socket: Duplex): void {
  if (socket.writableCorked > 0) return
  socket.cork()
  if (ofThisCall.push(socket) === 1) process.nextTick(release)

  function release (): void {
    const sockets = ofThisCall
    ofThisCall = []
    for (const socket of sockets) socket.uncork()
  }
}

/** The same for all that is written in this turn of the event loop. */
export function joinWritesOfTurn (socket: Duplex): void {
  socket.cork()
  if (ofThisTurn.push(socket) === 1) setImmediate(release)

  function release (): void {
    const sockets = ofThisTurn
    ofThisTurn = []
    for (const socket of sockets) socket.uncork()
  }
}

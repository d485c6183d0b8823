import type { Duplex } from 'node:stream'

let held: Duplex[] = []

/**
 * Joins all that is written to `socket` in this turn of the event loop to one system call, which is what a write costs.
 * Nothing waits longer than to the end of what is running now.
 */
export function joinWrites (socket: Duplex): void {
  if (socket.writableCorked > 0) return
  socket.cork()
  if (held.push(socket) === 1) process.nextTick(release)
}

function release (): void {
  const sockets = held
  held = []
  for (const socket of sockets) socket.uncork()
}

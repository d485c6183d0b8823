import { readFileSync } from 'node:fs'

// Of CPU time in /proc, a second. It is 100 on every Linux.
const TICKS = 100

/** The CPU time that the processes have used, user and system, in seconds. */
export function cpuTime (pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field, the command, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS
}

/** Their resident memory, in bytes; what they share is counted once. */
export function memory (pids: readonly number[]): number {
  return 1024 * pids.reduce((sum, pid) => sum + Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]), 0)
}

/** How many files a process may have open, which sockets are. */
export function openFilesLimit (): number {
  // Node raises its own soft limit to the hard one.
  return Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? Infinity)
}

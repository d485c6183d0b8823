/** Time and chance, so that the rooms can be run on a virtual clock, from one seed (`test/simulation/`). */
export interface Scheduler {
  /** Milliseconds, monotonic. */
  now (): number
  /** Runs `task` at the end of this turn of the event loop. */
  soon (task: () => void): void
  /** Runs `task` once in `delay` ms; the timer keeps no process alive. Answers a function that cancels it. */
  after (delay: number, task: () => void): () => void
  /** From 0 to below 1. */
  random (): number
}

export const systemScheduler: Scheduler = {
  now: () => performance.now(),
  soon: (task) => { setImmediate(task) },
  after (delay, task) {
    const timer = setTimeout(task, delay)
    timer.unref()
    return () => clearTimeout(timer)
  },
  random: Math.random
}

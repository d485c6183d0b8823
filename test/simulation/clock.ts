import type { Scheduler } from '../../lib/scheduler.js'

/** Chance from a seed (mulberry32): the same seed, the same run. */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to below 1. */
  next (): number {
    this.#state = (this.#state + 0x6D2B79F5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer from 0 to `max`, both included. */
  upTo (max: number): number {
    return Math.floor(this.next() * (max + 1))
  }

  chance (probability: number): boolean {
    return this.next() < probability
  }
}

interface Timer { at: number, task: () => void }

// How far the clock moves when it is looked at, in ms.
const CREEP = 0.001
// No schedule of ours needs a tenth of it: whoever gets here goes round in circles.
const MOST_STEPS = 50_000

/**
 * Virtual time: timers fire when the clock is told to advance, and never otherwise. Between two timers everything that
 * they set off is run to its end, which takes one turn of the real event loop: nothing here waits for anything else.
 */
export class Clock implements Scheduler {
  readonly #random: Random
  // In the order of firing: sorted by time, and by making where times are equal.
  readonly #timers: Timer[] = []
  #soon: Array<() => void> = []
  #now = 0
  #steps = 0

  constructor (random: Random) {
    this.#random = random
  }

  /** It moves on a little whenever it is looked at, as a real one does: twice in one turn is not the same. */
  now (): number {
    this.#now += CREEP
    return this.#now
  }

  soon (task: () => void): void {
    this.#soon.push(task)
  }

  after (delay: number, task: () => void): () => void {
    return this.at(this.#now + Math.max(0, delay), task)
  }

  /** The time, without looking at the clock. */
  get time (): number {
    return this.#now
  }

  /** Runs `task` at that time, after what is already due then. */
  at (time: number, task: () => void): () => void {
    const timer = { at: Math.max(this.#now, time), task }
    let low = 0
    let high = this.#timers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#timers[middle] as Timer).at <= timer.at) low = middle + 1
      else high = middle
    }
    this.#timers.splice(low, 0, timer)
    return () => {
      const index = this.#timers.indexOf(timer)
      if (index >= 0) this.#timers.splice(index, 1)
    }
  }

  random (): number {
    return this.#random.next()
  }

  /** Timers that are still to fire. */
  get pending (): number {
    return this.#timers.length
  }

  /** Lets `duration` ms pass. */
  async advance (duration: number): Promise<void> {
    const until = this.#now + duration
    await this.settle()
    for (let timer = this.#timers[0]; timer !== undefined && timer.at <= until; timer = this.#timers[0]) {
      if (++this.#steps > MOST_STEPS) throw new Error('the simulation does not come to an end')
      this.#timers.shift()
      this.#now = Math.max(this.#now, timer.at)
      timer.task()
      // What is due at the same instant may come in one turn, as several packets do.
      if (this.#timers[0] !== undefined && this.#timers[0].at <= this.#now && this.#random.chance(0.5)) continue
      await this.settle()
    }
    this.#now = Math.max(this.#now, until)
  }

  /** Runs what was set off to its end. */
  async settle (): Promise<void> {
    do {
      await new Promise((resolve) => { setImmediate(resolve) })
      const due = this.#soon
      this.#soon = []
      for (const task of due) task()
      if (due.length === 0) return
    } while (true)
  }
}

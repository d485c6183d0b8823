import type { Redis } from 'ioredis'
import type { Running } from '../contestants/contestant.js'
import type { Load } from '../load.js'

/** One kind of work, which several contestants are given at three sizes. */
export interface Workload {
  name: string
  /** What is done, in a sentence. */
  title: string
  /** What a size counts. */
  unit: string
  sizes: number[]
  /** The one of them that the goals are for. */
  goalSize: number
  contestants: string[]
  /** What is held against the others' in the same round; the first contestant's, or each one's own at the first size. */
  reference: 'first contestant' | 'first size'
  /** The first is the one of the ratios and the plot. */
  metrics: Record<string, Metric>
  goals: Goal[]
  /** Default: one. */
  servers?: (size: number) => number
  run (stage: Stage): Promise<Measured>
}

export interface Metric {
  unit: string
  better: 'more' | 'less'
}

/** What is asked of a contestant's metric; with `to`, of its ratio to that contestant's in the same round. */
export type Goal = { of: string, metric: string, to?: string } & ({ atLeast: number } | { atMost: number })

/** A metric's value by its name; `server` and `generator` are the cores that were busy. */
export type Measured = Record<string, number>

/** What a workload is run on: all of it is there for one measurement only. */
export interface Stage {
  running: Running
  load: Load
  /** A connection to the Redis, where the contestant has one. */
  redis: Redis | undefined
  size: number
  /** Both in ms. */
  warmUp: number
  duration: number
  /** Another process that makes load. */
  anotherLoad (): Promise<Load>
}

/** Bytes of a message's data. */
export const BYTES = 128

export const repeat = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

/** Ours, on each broker that several servers share. */
export const OURS_SHARED = ['fan-out-redis', 'fan-out-nats', 'fan-out-jetstream']

/** `count` clients in one room. */
export const audience = (count: number, room: string): string[][] => repeat(count, () => [room])

import type { Goal, Measured, Workload } from './workloads/workload.js'
import { median } from './stats.js'

export interface Sample {
  size: number
  contestant: string
  round: number
  measured: Measured
}

/** All that was measured of a workload, as it is kept in `bench/results/`. */
export interface Results {
  workload: string
  date: string
  machine: string
  samples: Sample[]
}

/** Over the rounds. */
export interface Spread { median: number, min: number, max: number }

export function spread (values: number[]): Spread | undefined {
  return values.length === 0 ? undefined : { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

export class Summary {
  readonly workload: Workload
  readonly #samples: Sample[]

  constructor (workload: Workload, samples: Sample[]) {
    this.workload = workload
    this.#samples = samples
  }

  get sizes (): number[] {
    return [...new Set(this.#samples.map(({ size }) => size))].sort((a, b) => a - b)
  }

  /** The first contestant of those that took part. */
  get first (): string {
    return this.workload.contestants.find((name) => this.#samples.some(({ contestant }) => contestant === name)) as string
  }

  contestants (size: number): string[] {
    const there = new Set(this.#of(size).map(({ contestant }) => contestant))
    return this.workload.contestants.filter((name) => there.has(name))
  }

  #of (size: number, contestant?: string): Sample[] {
    return this.#samples.filter((sample) => sample.size === size && (contestant === undefined || sample.contestant === contestant))
  }

  values (size: number, contestant: string, metric: string): Spread | undefined {
    return spread(this.#of(size, contestant).flatMap(({ measured }) => measured[metric] ?? []))
  }

  /** Each round's value, divided by that of the reference in the same round. */
  ratios (size: number, contestant: string, metric: string, to = this.#reference(contestant)): Spread | undefined {
    return spread(this.#of(size, contestant).flatMap(({ round, measured }) => {
      const other = this.#of(to.size ?? size, to.contestant).find((sample) => sample.round === round)?.measured[metric]
      return other === undefined || measured[metric] === undefined ? [] : measured[metric] / other
    }))
  }

  #reference (contestant: string): { size?: number, contestant: string } {
    const { reference, sizes } = this.workload
    return reference === 'first size' ? { size: sizes[0] as number, contestant } : { contestant: this.first }
  }

  /** What a goal asks for, where it was measured. */
  achieved ({ of, metric, to }: Goal): Spread | undefined {
    const { goalSize, reference } = this.workload
    if (to === undefined && reference === 'first contestant') return this.values(goalSize, of, metric)
    return this.ratios(goalSize, of, metric, to === undefined ? undefined : { contestant: to })
  }
}

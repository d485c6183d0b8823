import type { Workload } from '../../bench/workloads/workload.js'
import { test } from 'tap'
import { entrants } from '../../bench/contestants/index.js'
import { Bench } from '../../bench/measure.js'
import { Summary } from '../../bench/results.js'
import { tables } from '../../bench/table.js'

// Divisible by 100, the rooms of a connection, where sizes are subscriptions.
const SMALL: Record<string, number> = { subscriptions: 200, servers: 2, 'publish-many': 2, 'publish-jetstream': 2, posts: 128 }
const times = { warmUp: 20, duration: 50 }

/** Runs each on its reference and on ours, on several servers on each of our brokers, and sees that every message is counted once. */
export function testWorkloads (workloads: Workload[]): void {
  for (const workload of workloads) {
    test(`the workload ${workload.name}`, async (t) => {
      t.equal(new Set(workload.sizes).size, 3, 'three sizes')
      t.ok(workload.sizes.includes(workload.goalSize), 'of which one is that of the goals')
      const bench = await Bench.start()
      t.teardown(() => bench.stop())
      const size = SMALL[workload.name] ?? 20
      const ours = workload.contestants.filter((name) => name.startsWith('fan-out'))
      const names = [...new Set([workload.contestants[0] as string, ...workload.reference === 'first size' ? ours : ours.slice(0, 1)])]
      const samples = []
      for (const contestant of names) {
        // In so short a time nothing may be delivered, no CPU time be taken, and memory shrink: a figure may be 0, or divided by it. It rejects where a message came twice, or not at all.
        const measured = await bench.measure(workload, size, entrants[contestant]!, times)
        for (const metric of Object.keys(workload.metrics)) t.type(measured[metric], 'number', `${contestant}, ${metric}: ${measured[metric]}`)
        samples.push({ size, contestant, round: 0, measured })
      }
      const summary = new Summary(workload, samples)
      for (const name of names) t.match(tables(summary), `| ${name} `)
    })
  }
}

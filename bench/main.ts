// `npm run bench -- [workload…] [--rounds 3] [--contestants a,b] [--quick]`, see docs/benchmarks.md.
import type { Sample } from './results.js'
import type { Workload } from './workloads/workload.js'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { entrants } from './contestants/index.js'
import { Bench } from './measure.js'
import { save } from './report.js'
import { Summary } from './results.js'
import { number, tables } from './table.js'
import { workloads } from './workloads/index.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    contestants: { type: 'string' },
    // One short round, and only what the goals ask for.
    quick: { type: 'boolean', default: false }
  }
})

const chosen = positionals.length === 0 ? workloads : positionals.map((name) => known(name, workloads.find((workload) => workload.name === name), workloads.map(({ name }) => name)))
const wanted = values.contestants?.split(',').map((name) => known(name, entrants[name] && name, Object.keys(entrants)))
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
const times = values.quick ? { warmUp: 200, duration: 400 } : { warmUp: 500, duration: 1_000 }

function known<T> (name: string, found: T | undefined, all: string[]): T {
  if (found !== undefined) return found
  process.stderr.write(`${name} is none of ${all.join(', ')}\n`)
  process.exit(1)
}

function contestantsOf ({ contestants, goals, goalSize, reference }: Workload, size: number): string[] {
  const asked = new Set([...reference === 'first contestant' ? contestants.slice(0, 1) : [], ...goals.flatMap(({ of, to }) => [of, to])])
  // How its cost grows is shown once of a peer, and not of the same on Redis again.
  const again = (name: string): boolean => !name.startsWith('fan-out') && contestants.includes(name.replace(/-redis$/, '')) && name.endsWith('-redis')
  return contestants.filter((name) => name in entrants && (wanted?.includes(name) ?? (values.quick ? asked.has(name) : size === goalSize || !again(name))))
}

/** The goals' size in every round, the others, which show how cost grows, in the first. */
function sizesOf ({ sizes, goalSize, reference }: Workload, round: number): number[] {
  return sizes.filter((size, i) => size === goalSize || (reference === 'first size' && i === 0) || (round === 0 && !values.quick))
}

const begun = performance.now()
const machine = `${cpus().length} cores (${cpus()[0]?.model}), Node ${process.version}`
const bench = await Bench.start()
let failed = false

async function sample (workload: Workload, size: number, contestant: string, round: number): Promise<Sample[]> {
  process.stderr.write(`round ${round + 1}, ${workload.name}, ${number(size)} ${workload.unit}, ${contestant}\n`)
  try {
    return [{ size, contestant, round, measured: await bench.measure(workload, size, entrants[contestant]!, times) }]
  } catch (error) {
    process.stderr.write(`${(error as Error).stack}\n`)
    failed = true
    return []
  }
}

const all = new Map<Workload, Sample[]>(chosen.map((workload) => [workload, []]))
for (let round = 0; round < rounds; round++) {
  for (const workload of chosen) {
    const samples = all.get(workload) as Sample[]
    for (const size of sizesOf(workload, round)) {
      const names = contestantsOf(workload, size)
      // Each begins in its turn, so that none has always the warmest machine.
      for (let i = 0; i < names.length; i++) samples.push(...await sample(workload, size, names[(i + round) % names.length] as string, round))
    }
    // After each, so that a run that is stopped keeps what it has.
    if (!values.quick && wanted === undefined && samples.length > 0) save({ workload: workload.name, date: new Date().toISOString(), machine, samples })
  }
}
await bench.stop()

for (const [workload, samples] of all) process.stdout.write(`\n${tables(new Summary(workload, samples))}`)
process.stdout.write(`\n${rounds} ${rounds === 1 ? 'round' : 'rounds'} in ${((performance.now() - begun) / 60_000).toFixed(1)} minutes, on ${machine}\n`)
process.exit(failed ? 1 : 0)

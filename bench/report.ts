import type { Results } from './results.js'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { plot } from './plot.js'
import { Summary } from './results.js'
import { tables } from './table.js'
import { workloads } from './workloads/index.js'

const root = new URL('../', import.meta.url)
const page = new URL('docs/benchmarks.md', root)

/** Keeps what was measured, and shows it on the page. */
export function save (results: Results): void {
  const { workload, date, machine, samples } = results
  const summary = new Summary(workloads.find(({ name }) => name === workload)!, samples)
  mkdirSync(new URL('bench/results/', root), { recursive: true })
  writeFileSync(new URL(`bench/results/${workload}.json`, root), `${JSON.stringify(results, null, 1)}\n`)
  mkdirSync(new URL('docs/benchmarks/', root), { recursive: true })
  writeFileSync(new URL(`docs/benchmarks/${workload}.svg`, root), plot(summary))

  const shown = `${tables(summary)}\n![${summary.workload.title}](benchmarks/${workload}.svg)\n\n${date.slice(0, 10)}, ${machine}.\n`
  const [begin, end] = [`<!-- ${workload} -->\n`, `<!-- end of ${workload} -->\n`]
  const text = readFileSync(page, 'utf8')
  if (!text.includes(begin)) throw new Error(`docs/benchmarks.md has no place for ${workload}: a line ${begin.trim()}, and one ${end.trim()}`)
  writeFileSync(page, text.slice(0, text.indexOf(begin) + begin.length) + shown + text.slice(text.indexOf(end)))
}

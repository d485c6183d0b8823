import { entrants } from './contestants/index.js'
import { measure } from './measure.js'
import { workloads } from './workloads/index.js'
const [name, size, ...who] = process.argv.slice(2)
const workload = workloads.find((w) => w.name === name)!
for (const c of who.length ? who : workload.contestants) {
  if (!entrants[c]) continue
  const t = performance.now()
  console.log(c, await measure(workload, Number(size), entrants[c]!, { warmUp: 500, duration: 1000 }), Math.round(performance.now() - t))
}

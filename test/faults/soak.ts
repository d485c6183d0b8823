// `npm run soak [seconds] [seed] [broker]`: rounds of random troubles on two servers and a broker (Redis with a replica, unless another is named), and the
// oracle's counts. The n-th round has the seed + n: what is found wrong comes again, first, with `npm run soak 1 <seed of the round> [broker]`.
import type { Round } from './rounds.js'
import process, { argv, stderr, stdout } from 'node:process'
import { rounds as roundsOn } from './rounds.js'

const [seconds = 300, seed = Date.now() % 1e9] = argv.slice(2, 4).map(Number)
const on = (argv[4] ?? 'redis') as keyof typeof roundsOn
if (!(on in roundsOn)) {
  stderr.write(`${on} is none of ${Object.keys(roundsOn).join(', ')}\n`)
  process.exit(1)
}

const rounds = { lossless: 0, lossy: 0 }
const sum = { acknowledged: 0, delivered: 0, refused: 0, unknown: 0, gaps: 0, duplicates: 0, disorder: 0, losses: 0 }
let [healing, wrong] = [0, 0]

function add (result: Round): void {
  rounds[result.lossy ? 'lossy' : 'lossless']++
  for (const name of Object.keys(sum) as Array<keyof typeof sum>) sum[name] += result[name]
  healing = Math.max(healing, result.healing)
  wrong += result.wrong.length > 0 ? 1 : 0
}

stdout.write(`soak on ${on} for ${seconds} s, seed ${seed}\n`)
const end = performance.now() + seconds * 1_000
for (let n = 0; n === 0 || performance.now() < end; n++) {
  const result = await roundsOn[on](seed + n)
  add(result)
  stdout.write(`seed ${result.seed}, ${result.lossy ? 'lossy' : 'lossless'}: ${result.troubles.join(', ')}; ${result.acknowledged} acknowledged, ${result.gaps} gaps\n`)
  for (const what of result.wrong.slice(0, 10)) stdout.write(`  WRONG: ${what}\n`)
}

const table: Record<string, string | number> = {
  'rounds that lose nothing': rounds.lossless,
  'rounds that lose something': rounds.lossy,
  ...Object.fromEntries(Object.entries({ ...sum, 'out of order': sum.disorder, 'silent losses': sum.losses }).filter(([name]) => name !== 'disorder' && name !== 'losses')),
  'worst healing': `${Math.round(healing)} ms`,
  'rounds gone wrong': wrong,
  memory: `${Math.round(process.memoryUsage().rss / 1024 ** 2)} MiB`
}
stdout.write('\n')
for (const [name, value] of Object.entries(table)) stdout.write(`${name.padEnd(28)}${String(value).padStart(12)}\n`)
process.exit(wrong === 0 ? 0 : 1)

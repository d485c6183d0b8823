import process from 'node:process'
import { test } from 'tap'
import { findAll } from './mutate.js'
import { mutants } from './windowless/mutants.js'
import { simulate } from './windowless/simulate.js'

// `SIMULATION_SEED=<seed>`, as a failure prints it, runs the same again.
const { WINDOWLESS_RUNS = '800', SIMULATION_SEED } = process.env
// In so many each mutant has to be found.
const RUNS = 2_000

test('brokers without a window, and the rooms on them, lose nothing in silence, whatever happens', { timeout: 0 }, async (t) => {
  const first = SIMULATION_SEED === undefined ? 1 : Number(SIMULATION_SEED)
  const last = SIMULATION_SEED === undefined ? Number(WINDOWLESS_RUNS) : first
  for (let seed = first; seed <= last; seed++) {
    const failure = await simulate(seed)
    if (failure === undefined) continue
    t.comment(`SIMULATION_SEED=${seed}`)
    t.comment(failure.story.join('\n'))
    return t.fail(failure.wrong)
  }
  t.pass(`nothing is wrong, seeds ${first} to ${last}`)
})

test('the simulation finds what is wrong', { jobs: 2, timeout: 0 }, async (t) => {
  await findAll(t, mutants, 'windowless/hunt.ts', RUNS)
})

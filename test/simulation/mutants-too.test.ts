import { test } from 'tap'
import { findAll, LENGTH, RUNS } from './mutate.js'
import { mutants } from './mutants.js'

// The other half is in mutants.test.ts.
test('the simulation finds what else is wrong', { jobs: 2, timeout: 0 }, async (t) => {
  await findAll(t, mutants.filter((_, i) => i % 2 === 1), 'hunt.ts', RUNS, LENGTH)
})

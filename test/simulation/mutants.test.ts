import { test } from 'tap'
import { findAll } from './mutate.js'
import { mutants } from './mutants.js'

// In so many schedules, of so many actions at most.
const RUNS = 12_000
const LENGTH = 60

test('the simulation finds what is wrong', { jobs: 2, timeout: 0 }, async (t) => {
  await findAll(t, mutants, 'hunt.ts', RUNS, LENGTH)
})

import { test } from 'tap'
import { findAll, LENGTH, RUNS } from './mutate.js'
import { mutants } from './mutants.js'

// The other half is in mutants-too.test.ts: all of them take longer than a file may.
test('the simulation finds what is wrong', { jobs: 2, timeout: 0 }, async (t) => {
  await findAll(t, mutants.filter((_, i) => i % 2 === 0), 'hunt.ts', RUNS, LENGTH)
})

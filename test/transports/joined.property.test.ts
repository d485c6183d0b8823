import fc from 'fast-check'
import { test } from 'tap'
import { schedule } from './joined/schedule.js'
import { Stage } from './joined/stage.js'

// `JOINED_SEED` repeats a run that failed, `JOINED_RUNS` is how much is tried.
const { JOINED_RUNS = '60', JOINED_SEED } = process.env

test('what is joined, sliced, paced and compressed comes whole, in order, once, and within its limits', async (t) => {
  const seed = Number(JOINED_SEED ?? Date.now() % 2 ** 31)
  t.comment(`JOINED_SEED=${seed}`)
  const tally = { messages: 0, resumes: 0, tooSlow: 0 }
  await fc.assert(fc.asyncProperty(schedule, async ({ setting, steps }) => await Stage.run(setting, steps, tally)), {
    seed,
    numRuns: Number(JOINED_RUNS),
    // On a machine that is very busy less is tried; where something was found, it is made no smaller than that allows.
    interruptAfterTimeLimit: 70_000,
    markInterruptAsFailure: false
  })
  for (const [what, count] of Object.entries(tally)) t.ok(count > 0, `${count} ${what}`)
})

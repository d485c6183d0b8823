import fc from 'fast-check'
import { test } from 'tap'
import { schedule } from './joined/schedule.js'
import { Stage } from './joined/stage.js'

// `JOINED_SEED` repeats a run that failed, `JOINED_RUNS` is how much is tried.
const { JOINED_RUNS, JOINED_SEED } = process.env
// In ms: on a machine that is busy less is tried, and what was found is made no smaller than that allows.
const MOST = 70_000

test('what is joined, sliced, paced and compressed comes whole, in order, once, and within its limits', async (t) => {
  const seed = Number(JOINED_SEED ?? Date.now() % 2 ** 31)
  t.comment(`JOINED_SEED=${seed}`)
  const tally = { messages: 0, resumes: 0, tooSlow: 0 }
  await fc.assert(fc.asyncProperty(schedule, async ({ setting, steps }) => await Stage.run(setting, steps, tally)), {
    seed,
    numRuns: Number(JOINED_RUNS ?? 60),
    ...(JOINED_RUNS === undefined && { interruptAfterTimeLimit: MOST })
  })
  for (const [what, count] of Object.entries(tally)) t.ok(count > 0, `${count} ${what}`)
})

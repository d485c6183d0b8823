// Run by `mutate.ts` on a copy that has an error in it: `hunt.ts <runs> <length>`. Prints what was found.
import type { Found } from './mutate.js'
import fc from 'fast-check'
import process from 'node:process'
import { schedules } from './schedule.js'
import { simulate } from './simulate.js'

const [runs, length] = process.argv.slice(2).map(Number) as [number, number]
let actions = 0
let wrong: string | undefined
const { numRuns } = await fc.check(fc.asyncProperty(schedules(length), async (schedule) => {
  const failure = await simulate(schedule)
  if (failure === undefined) return
  actions = schedule.actions.length
  wrong = failure.wrong
  throw new Error(wrong)
}), { numRuns: runs, seed: 1, endOnFailure: true })
process.stdout.write(JSON.stringify({ at: `schedule ${numRuns}, of ${actions} actions`, wrong } satisfies Found))
process.exit()

import fc from 'fast-check'
import { test } from 'tap'
import process from 'node:process'
import { print, schedules } from './schedule.js'
import { simulate } from './simulate.js'

// `SIMULATION_SEED=<seed>` or `<seed>/<path>`, as a failure prints it, runs the same again.
const { SIMULATION_RUNS, SIMULATION_SEED } = process.env
// In ms: on a machine that is busy fewer are tried, rather than that the file takes longer than it may.
const MOST = 90_000
const [seed, path] = SIMULATION_SEED?.split('/') ?? []

test('rooms keep their promise, whatever happens', { timeout: 0 }, async (t) => {
  const started = performance.now()
  const details = await fc.check(fc.asyncProperty(schedules(60), async (schedule) => {
    const failure = await simulate(schedule)
    if (failure !== undefined) throw new Error(failure.wrong)
  }), { numRuns: Number(SIMULATION_RUNS ?? 8_000), ...(SIMULATION_RUNS === undefined && { interruptAfterTimeLimit: MOST }), ...(seed !== undefined && { seed: Number(seed) }), ...(path !== undefined && { path }) })

  const took = performance.now() - started
  t.comment(`${details.numRuns} schedules, ${Math.round(details.numRuns / took * 60_000)} a minute, seed ${details.seed}`)
  if (!details.failed) return t.pass('nothing is wrong')
  const [schedule] = details.counterexample ?? []
  const failure = schedule && await simulate(schedule)
  t.comment(`SIMULATION_SEED=${details.seed}/${details.counterexamplePath}`)
  if (schedule !== undefined) t.comment(print(schedule))
  if (failure !== undefined) t.comment(failure.story.join('\n'))
  t.fail(failure?.wrong ?? String(details.errorInstance))
})

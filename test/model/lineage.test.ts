import type { Schedule } from './schedule.js'
import fc from 'fast-check'
import { test } from 'tap'
import process from 'node:process'
import { schedules } from './schedule.js'
import { ModelNodes } from './scripts.js'
import { World } from './world.js'

const { LINEAGE_RUNS, LINEAGE_SEED } = process.env
// For each of them, in ms: on a machine that is busy fewer are tried, rather than that the file takes longer than it may.
const MOST = 12_000
const [seed, path] = LINEAGE_SEED?.split('/') ?? []

async function simulate ({ nodes, modes, readers, window, actions }: Schedule): Promise<{ wrong: string, story: string[] } | undefined> {
  const world = new World(new ModelNodes(nodes, window), nodes, modes, readers)
  try {
    await world.run(actions)
    return undefined
  } catch (error) {
    return { wrong: (error as Error).stack as string, story: world.story }
  }
}

// Where a server suspects, clients are told at most once for each event that breaks links, and elsewhere only of what was lost.
for (const modes of [['detect'], ['trust'], ['suspect'], ['detect', 'suspect', 'trust']] as const) {
  for (const lossless of [true, false]) {
    test(`${modes.join(', ')}: ${lossless ? 'where nothing is lost, nothing is told' : 'what is lost is told'}`, { timeout: 0 }, async (t) => {
      const details = await fc.check(fc.asyncProperty(schedules(40, lossless, modes), async (schedule) => {
        const failure = await simulate(schedule)
        if (failure !== undefined) throw new Error(failure.wrong)
      }), { numRuns: Number(LINEAGE_RUNS ?? 5_000), ...(LINEAGE_RUNS === undefined && { interruptAfterTimeLimit: MOST }), ...(seed !== undefined && { seed: Number(seed) }), ...(path !== undefined && { path }) })
      if (!details.failed) return t.pass(`${details.numRuns} schedules`)
      const [schedule] = details.counterexample ?? []
      const failure = schedule && await simulate(schedule)
      t.comment(`LINEAGE_SEED=${details.seed}/${details.counterexamplePath}`)
      t.comment(JSON.stringify({ ...schedule, actions: undefined }))
      t.comment(failure?.story.join('\n'))
      t.fail(failure?.wrong ?? String(details.errorInstance))
    })
  }
}

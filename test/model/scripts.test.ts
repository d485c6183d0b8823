import type { Schedule } from './schedule.js'
import fc from 'fast-check'
import { test } from 'tap'
import process from 'node:process'
import { RedisServer } from '../redis-server.js'
import { RedisNodes } from './redis-nodes.js'
import { schedules } from './schedule.js'
import { World } from './world.js'

const { LINEAGE_RUNS = '60', LINEAGE_SEED } = process.env
const [seed, path] = LINEAGE_SEED?.split('/') ?? []

test('the scripts do what the model does', { timeout: 0 }, async (t) => {
  const servers = await Promise.all(Array.from({ length: 3 }, () => RedisServer.start(t)))
  let room = 0
  const simulate = async (schedule: Schedule): Promise<{ wrong: string, story: string[] } | undefined> => {
    const nodes = new RedisNodes(servers.map(({ admin }) => admin), schedule.window, `room ${++room}`)
    const world = new World(nodes, schedule.nodes, schedule.modes, schedule.readers)
    try {
      await world.run(schedule.actions)
      return undefined
    } catch (error) {
      return { wrong: (error as Error).stack as string, story: world.story }
    }
  }
  for (const modes of [['detect'], ['detect', 'suspect', 'trust']] as const) {
    for (const lossless of [true, false]) {
      const details = await fc.check(fc.asyncProperty(schedules(40, lossless, modes), async (schedule) => {
        const failure = await simulate(schedule)
        if (failure !== undefined) throw new Error(failure.wrong)
      }), { numRuns: Number(LINEAGE_RUNS), ...(seed !== undefined && { seed: Number(seed) }), ...(path !== undefined && { path }) })
      if (!details.failed) {
        t.pass(`${details.numRuns} schedules, seed ${details.seed}`)
        continue
      }
      const [schedule] = details.counterexample ?? []
      const failure = schedule && await simulate(schedule)
      t.comment(`LINEAGE_SEED=${details.seed}/${details.counterexamplePath}`)
      t.comment(failure?.story.join('\n'))
      t.fail(failure?.wrong ?? String(details.errorInstance))
    }
  }
})

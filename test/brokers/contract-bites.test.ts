import type { ContractOptions, TestContext } from './contract.js'
import { test } from 'tap'
import { brokerContract } from './contract.js'
import { keys } from './mutants/keys.js'
import { live } from './mutants/live.js'
import { publishing } from './mutants/publishing.js'
import { reading } from './mutants/reading.js'
import { servers } from './mutants/servers.js'
import { createOf, REFUSED, Sound } from './mutants/sound.js'

const mutants = { ...live, ...publishing, ...keys, ...reading, ...servers }

class Unreachable extends Sound {
  override async start (): Promise<void> {
    throw new Error('nobody is there')
  }
}

const sound: Omit<ContractOptions, 'test'> = {
  name: 'a broker',
  create: createOf(Sound),
  unreachable: createOf(Unreachable),
  refused: { text: REFUSED },
  timeout: 2_000
}

/** Runs those tests of the contract whose titles are wanted, under a runner of ours, and answers how each ended. */
async function run (options: Omit<ContractOptions, 'test'>, wanted: (title: string) => boolean): Promise<Map<string, Error | undefined>> {
  const ended = new Map<string, Error | undefined>()
  const context: TestContext = {
    test: async (title, prove) => {
      if (!wanted(title)) return
      const after: Array<() => unknown> = []
      await prove({ ...context, after: (fn) => after.push(fn) }).then(() => ended.set(title, undefined), (error: Error) => ended.set(title, error))
      for (const fn of after) await fn()
    },
    after: () => {}
  }
  await brokerContract({ ...options, test: async (_, fn) => await fn(context) })
  return ended
}

test('the contract holds of a broker that keeps it', async (t) => {
  const ended = await run(sound, () => true)
  for (const [title, error] of ended) t.equal(error, undefined, title)

  const bites = Object.values(mutants).flatMap(({ tests }) => tests)
  for (const title of ended.keys()) t.ok(bites.some((bite) => title.startsWith(bite)), `a broken broker proves that this can fail: ${title}`)
})

for (const [wrong, { tests, broker }] of Object.entries(mutants)) {
  test(`a broker that ${wrong} is found out`, async (t) => {
    const create = createOf(broker)
    const options = { ...sound, timeout: 300, ...(tests.includes('start rejects') ? { unreachable: create } : { create }) }
    const ended = await run(options, (title) => tests.some((bite) => title.startsWith(bite)))
    t.equal(ended.size, tests.length, 'each is one test')
    for (const [title, error] of ended) t.type(error, Error, title)
  })
}

test('a broker that keeps its messages is none without a window', async (t) => {
  const ended = await run({ ...sound, window: false, timeout: 300 }, (title) => /^it says that|^whoever comes back|^no position comes again|^there is nothing/.test(title))
  t.equal(ended.size, 4)
  for (const [title, error] of ended) t.type(error, Error, title)
})

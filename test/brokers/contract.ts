import type { ContractOptions, Tests } from './contract/server.js'
import { closing } from './contract/closing.js'
import { idempotency } from './contract/idempotency.js'
import { live } from './contract/live.js'
import { names } from './contract/names.js'
import { reading } from './contract/reading.js'
import { refusals, refusedKeys, unreachable } from './contract/refusals.js'
import { Stage } from './contract/server.js'
import { sharedKeys, sharedRooms, sharedWindow } from './contract/shared.js'
import { sharedWindowless, windowless } from './contract/windowless.js'

export type { ContractOptions, TestContext, TestFunction, Wishes } from './contract/server.js'

/**
 * Runs the guarantees that stand in `lib/brokers/broker.ts` against a broker, in fair weather. Each broker of the house is
 * held to it, and so can be anyone's: it is exported as `fastify-fan-out/contract`, and runs under node:test or tap,
 * whose `test` it is given. Resolves when every test has ended.
 */
export async function brokerContract (options: ContractOptions): Promise<void> {
  const { test, name, alone = false, window = true, keys = true, refused, unreachable: away } = options
  const tests: Tests = {
    ...live,
    ...names,
    ...closing,
    ...(window ? reading : windowless),
    ...(keys && idempotency),
    ...(refused !== undefined && refusals),
    ...(refused !== undefined && keys && refusedKeys),
    ...(away !== undefined && unreachable),
    ...(!alone && (window ? sharedRooms : sharedWindowless)),
    ...(!alone && window && sharedWindow),
    ...(!alone && keys && sharedKeys)
  }
  await test(`the contract of brokers: ${name}`, async (t) => {
    for (const [title, prove] of Object.entries(tests)) await t.test(title, async (t) => await new Stage(t, options).run(prove))
  })
}

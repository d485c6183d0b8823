import type { ContractOptions } from './contract/server.js'
import { test } from 'tap'
import { closing } from './contract/closing.js'
import { idempotency } from './contract/idempotency.js'
import { live } from './contract/live.js'
import { names } from './contract/names.js'
import { reading } from './contract/reading.js'
import { windowless } from './contract/windowless.js'

export type { ContractOptions, Wishes } from './contract/server.js'

/** Runs the guarantees that stand in `lib/brokers/broker.ts` against a broker. Each broker of the house is held to it, and so can be anyone's. */
export function brokerContract (options: ContractOptions): void {
  test(`the contract of brokers: ${options.name}`, async (t) => {
    live(t, options)
    names(t, options)
    closing(t, options)
    if (options.keys !== false) idempotency(t, options)
    if (options.window === false) windowless(t, options)
    else reading(t, options)
  })
}

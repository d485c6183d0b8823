// How to hold a broker of one's own to the contract of brokers, here the one of no-window-broker.ts.
//
//   node --import=tsx --test examples/own-broker.test.ts
//
// One sees each guarantee pass that is asked of it. Outside of this repository import from 'fastify-fan-out/contract'.
import { test } from 'node:test'
import { brokerContract } from '../test/brokers/contract.js'
import { NoWindowBroker } from './no-window-broker.js'

await brokerContract({
  test,
  name: 'no window',
  create: () => new NoWindowBroker(),
  // What it does not do: no two of them share rooms, it keeps no messages, and remembers no keys.
  alone: true,
  window: false,
  keys: false
})

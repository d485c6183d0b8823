import { test } from 'tap'
import { MemoryBroker } from '../../lib/brokers/memory.js'
import { brokerContract } from './contract.js'

await brokerContract({
  test,
  name: 'memory',
  alone: true,
  create: (_, { size, idempotencyTtl }) => new MemoryBroker({ history: { size, maxAge: 300_000, bytes: 4 * 1024 * 1024 }, idempotencyTtl })
})

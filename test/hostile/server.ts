import type { FanOutOptions } from '../../index.js'
import Fastify from 'fastify'
import fanOut from '../../index.js'
import { MemoryBroker } from '../../lib/brokers/memory.js'

// A server in a process of its own, so that what it holds can be told from what its clients hold. Run by child.ts.
export type Command =
  | { do: 'publish', room: string, count: number, bytes: number }
  | { do: 'memory' }
  | { do: 'stats' }
  | { do: 'reads' }

// Nothing else is to start it: `tap test/hostile` would wait for its end.
if (process.argv[2] === undefined) process.exit()
const options = JSON.parse(process.argv[2]) as FanOutOptions
const reads = { count: 0 }

class CountingBroker extends MemoryBroker {
  override read (...parameters: Parameters<MemoryBroker['read']>): ReturnType<MemoryBroker['read']> {
    reads.count++
    return super.read(...parameters)
  }
}

const history = { size: 1_000, maxAge: 300_000, bytes: 4 * 1024 * 1024, ...options.history }
const app = Fastify()
await app.register(fanOut, { ...options, broker: new CountingBroker({ history, idempotencyTtl: 300_000 }) })
const url = await app.listen({ host: '127.0.0.1', port: 0 })

async function publish (room: string, count: number, bytes: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await app.rooms.publish(room, { n, pad: String.fromCharCode(97 + n % 26).repeat(bytes) })
    // Each in a turn of its own, as they would come over the network.
    await new Promise(setImmediate)
  }
}

async function memory (): Promise<number> {
  // What was freed by a first collection is given up by the next.
  for (let n = 0; n < 3; n++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function obey (command: Command): Promise<unknown> {
  if (command.do === 'publish') return await publish(command.room, command.count, command.bytes)
  if (command.do === 'memory') return { held: await memory(), rss: process.memoryUsage().rss }
  return command.do === 'stats' ? app.rooms.stats() : reads.count
}

process.on('message', ({ id, command }: { id: number, command: Command }) => {
  void obey(command).then((answer) => process.send?.({ id, answer }))
})
process.on('disconnect', () => process.exit())
process.send?.({ url })

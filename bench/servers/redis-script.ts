// The script that publishes, sent by a bare client: what Redis takes where nothing else is done.
import type { publish as Script } from '../../lib/brokers/redis/publish.js'
import { Redis } from 'ioredis'
import { options, serve } from '../ipc.js'
import { publishing } from './publishing.js'

const { redis } = options<{ redis: string }>()
const built = new URL('../../dist/lib/brokers/redis/publish.js', import.meta.url)
const { publish } = await import(built.href) as { publish: typeof Script }

const client = new Redis(redis)
const hash = await client.script('LOAD', publish) as string
const EPOCH = 178713012644094
const [DAYS, MINUTES, SIZE, BYTES, TIMEOUT] = [48 * 3_600_000, 300_000, 1_000, 4 * 1024 ** 2, 10_000]
let tokens = 0

serve({ url: '' }, {
  publish: publishing(async (room, messages) => {
    const named = messages.map((data) => ({ text: JSON.stringify(data), token: `bench-${++tokens}` }))
    const keys = [`bench:{${room}}:m`, `bench:{${room}}:s`, ...named.map(({ token }) => `bench:{${room}}:k:i:${token}`)]
    // As `lib/brokers/redis/calls.ts` sends it, with nothing seen before.
    await client.evalsha(hash, keys.length, ...keys, EPOCH, '', DAYS, '', '', 'PUBLISH', `bench:{${room}}`, SIZE, MINUTES, BYTES, ...named.flatMap(({ text, token }) => [text, TIMEOUT, token]))
  })
})

// A Redis that ends with the benchmark, however that ends.
import { RedisServer } from '../../test/redis-server.js'
import { serve } from '../ipc.js'

const ends: Array<() => unknown> = []
const redis = await RedisServer.start({ teardown: (end: () => unknown) => { ends.push(end) } })
// Its first step is to kill it.
process.on('exit', () => { for (const end of ends) void end() })

serve({ url: redis.url }, { end: async () => { for (const end of ends.splice(0)) await end() } })

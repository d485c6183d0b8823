import { test } from 'tap'
import { areOneSystem, keepNothing, serveTheSlow, twoServers } from './two-servers.js'

test('two servers on Pub/Sub are one system, without a window', async (t) => {
  const servers = await twoServers(t, 'redis+pubsub:')
  areOneSystem(t, servers, { inOneOrder: false })
  keepNothing(t, servers)
})

test('a subscriber that is slow is served from memory, and told a gap where that is not enough', async (t) => {
  await serveTheSlow(t, await twoServers(t, 'redis+pubsub:', { history: { size: 10 } }))
})

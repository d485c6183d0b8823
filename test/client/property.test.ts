import { test } from 'tap'
import { hunt } from './flaky/round.js'
import { twoServers } from './flaky/servers.js'

// `CLIENT_SEED` repeats what was tried, as far as a network can be repeated; `CLIENT_TIME` is for how long, in ms.
const { CLIENT_SEED, CLIENT_TIME } = process.env

test('whatever the network does, each message comes once and in order, or a gap, and each publish is published once', async (t) => {
  const seed = Number(CLIENT_SEED ?? Date.now() % 2 ** 31)
  t.comment(`CLIENT_SEED=${seed}`)
  const tally = { rounds: 0, messages: 0, gaps: 0, resumes: 0, published: 0 }
  const { at, wrong } = await hunt(seed, await twoServers(t), Number(CLIENT_TIME ?? 12_000), tally)
  t.equal(wrong, undefined, `at ${at}`)
  for (const [what, count] of Object.entries(tally)) t.ok(count > 0, `${count} ${what}`)
})

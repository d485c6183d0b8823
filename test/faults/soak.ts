// `npm run soak [seconds] [seed]`: two servers on one Redis (AOF always), random troubles that lose nothing, and the oracle's counts.
import process, { argv } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import tap from 'tap'
import { RedisServer } from '../redis-server.js'
import { Random } from '../simulation/clock.js'
import { Stage } from './stage.js'

const [seconds = 300, seed = Date.now() % 1e9] = argv.slice(2).map(Number)
const random = new Random(seed)

tap.setTimeout(0)
tap.test(`soak for ${seconds} s, seed ${seed}`, { timeout: 0 }, async (t) => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const stage = await Stage.start(t, redis.port, { clients: 24, options: { history: { size: 100_000 } } })
  const troubles: Record<string, () => Promise<unknown>> = {
    'cut the live links': async () => { stage.each((proxy) => proxy.cut('live')) },
    'cut a server off': async () => { stage.servers[random.upTo(1)]!.proxy.cut() },
    'cut commands': async () => { stage.servers[random.upTo(1)]!.proxy.cut('commands') },
    'stall a server': async () => {
      const { proxy } = stage.servers[random.upTo(1)]!
      proxy.stall()
      await sleep(random.upTo(6_000))
      proxy.flow()
    },
    'stall a live link': async () => {
      const { proxy } = stage.servers[random.upTo(1)]!
      proxy.stall('live')
      await sleep(random.upTo(1_500))
      proxy.flow()
    },
    'drop messages': async () => { stage.each((proxy) => proxy.drop(1 + random.upTo(3))) },
    'lose a reply': async () => { await Promise.race([stage.servers[random.upTo(1)]!.proxy.loseReply(/\d+-\d+/), sleep(2_000)]) },
    'kill Pub/Sub': () => redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
    'forget scripts': () => redis.admin.script('FLUSH'),
    'kill -9 and restart': async () => {
      await redis.kill()
      await sleep(random.upTo(2_000))
      await redis.start()
    },
    'stop the process': async () => {
      redis.pause()
      await sleep(random.upTo(4_000))
      redis.resume()
    }
  }
  const names = Object.keys(troubles)
  const end = performance.now() + seconds * 1_000
  let worst = 0
  let rounds = 0
  while (performance.now() < end) {
    const stop = stage.traffic(20)
    for (let i = random.upTo(3); i >= 0; i--) {
      await sleep(random.upTo(400))
      const name = names[random.upTo(names.length - 1)]!
      t.comment(name)
      await troubles[name]!()
    }
    // Sometimes the traffic goes on, sometimes the trouble is the last that is heard.
    if (random.chance(0.5)) await sleep(1_000)
    await stop()
    worst = Math.max(worst, await stage.healed(5_000))
    rounds++
  }
  t.comment(`${rounds} rounds, healed within ${Math.round(worst)} ms of the last publish's answer`)
  stage.check(t, { gaps: false })
  process.exitCode = t.passing() ? 0 : 1
})

import type { Call, Fault } from '../simulation/broker.js'
import { test } from 'tap'
import { PresenceWorld, sorted } from './world.js'

const SEEDS = Number(process.env['SEEDS'] ?? 60)
const ROOMS = ['a', 'b']

/** A few minutes of comings and goings, of servers too, and with the troubles that a broker and a network can make; then peace, and who knows what. */
async function run (seed: number, troubles: boolean): Promise<string[]> {
  const world = new PresenceWorld(seed)
  const { random, clock, servers } = world
  const pick = <T>(from: readonly T[]): T => from[random.upTo(from.length - 1)] as T
  await world.start(3)
  for (let step = 0; step < 150; step++) {
    const server = pick(servers)
    const room = pick(ROOMS)
    const chance = random.upTo(troubles ? 100 : 80)
    if (chance < 35) world.join(server, room)
    else if (chance < 55 && server.members.size > 0) world.leave(server, pick([...server.members.keys()]))
    else if (chance < 60 && server.members.size > 0) {
      const connection = pick([...server.members.keys()])
      world.join(server, server.members.get(connection)!.room, connection, step)
    } else if (chance < 68) void world.watch(server, room)
    else if (chance < 72 && server.watches.length > 0) server.watches.splice(random.upTo(server.watches.length - 1), 1)[0]?.end?.()
    else if (chance < 75) server.presence.members(room).catch(() => {})
    else if (chance < 78 && servers.length > 1) {
      // What it had not told yet nobody would ever know.
      await clock.advance(500)
      if (chance < 77) world.kill(server)
      else await world.close(server)
    } else if (chance <= 80) servers.length < 5 && await world.start().catch(() => {})
    else if (chance < 85) {
      server.adaptor.cut(random.chance(0.3))
      clock.after(random.upTo(pick([500, 30_000])), () => server.adaptor.mend())
    } else if (chance < 88) server.adaptor.skip()
    else if (chance < 90) server.adaptor.repeat()
    else if (chance < 96) server.adaptor.faults.push({ call: pick<Call>(['publish', 'read', 'positions']), kind: pick<Fault['kind']>(['refused', 'unanswered', 'silent', 'late']), delay: 8_000, left: 1 + random.upTo(10) })
    else if (chance < 99) pick([...world.cluster.histories.values()]).fork(1 + random.upTo(3), true)
    else pick([...world.cluster.histories.values()]).reset()
    await clock.advance(random.upTo(pick([20, 200, 5_000])))
  }
  for (const { adaptor } of servers) adaptor.heal()
  await clock.advance(60_000)
  const wrongs: string[] = []
  const compare = (what: string, found: unknown, room: string): void => {
    if (JSON.stringify(found) !== JSON.stringify(world.truth(room))) wrongs.push(`${what} ${room}: ${JSON.stringify(found)} for ${JSON.stringify(world.truth(room))}`)
  }
  for (const server of servers) {
    for (const room of ROOMS) compare(`the list on ${server.name} of`, sorted(await world.take(server.presence.members(room), 500)), room)
    for (const watch of server.watches) {
      const there = new Set(world.truth(watch.room).map(({ connection }) => connection))
      // Who came and went while the two servers did not hear each other may be told of never.
      const untold = new Set(troubles ? watch.before.map(({ connection }) => connection).filter((connection) => !there.has(connection) && !watch.told.some(({ member }) => member.connection === connection)) : [])
      compare(`a watch on ${server.name} of`, watch.known().filter(({ connection }) => !untold.has(connection)), watch.room)
      wrongs.push(...watch.repeated.map((what) => `told twice on ${server.name}: ${what}`))
    }
  }
  for (const server of [...servers]) world.kill(server)
  return wrongs
}

for (const troubles of [false, true]) {
  test(`${troubles ? 'after every trouble' : 'while servers come and go'} all know who is where, and who watches was told once (${SEEDS} seeds)`, { timeout: 120_000 }, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) t.strictSame(await run(seed, troubles), [], `seed ${seed}`)
  })
}

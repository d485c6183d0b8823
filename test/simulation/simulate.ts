import type { Schedule } from './schedule.js'
import process from 'node:process'
import { perform } from './perform.js'
import { kept } from './schedule.js'
import { LINGER, TIMEOUT, World } from './world.js'

/** In which everything that is healed must have come to rest: several comparisons, and the latest answer. */
const REST = 30_000
/** In which everything must have come to rest that is told by a doubt: a few answers, and one wait until it is worth asking again. */
const PROMPT = 2_000
/** No two comparisons of a quiet room are closer. */
const COMPARE = 2_250

/** Runs a schedule, heals everything, and holds the end against the truth. Answers what was wrong, and the story of it. */
export async function simulate (schedule: Schedule): Promise<{ wrong: string, story: string[] } | undefined> {
  const world = new World(schedule.setting)
  const unhandled = (error: unknown): void => world.wrong(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('unhandledRejection', unhandled)
  try {
    for (const action of kept(schedule)) {
      world.say(`--- ${JSON.stringify(action)}`)
      perform(world, action)
      await world.advance(action.wait)
    }
    await end(world)
    return undefined
  } catch (error) {
    return { wrong: (error as Error).message, story: world.story }
  } finally {
    process.off('unhandledRejection', unhandled)
  }
}

async function end (world: World): Promise<void> {
  world.say('--- all is healed')
  for (const { adaptor } of world.servers) adaptor.heal()
  for (const client of world.clients) {
    client.pace = 0
    client.take()
  }
  const { troubles } = world.setting
  if (troubles === 'told' || troubles === 'shown') await loseTwice(world, troubles)
  if (troubles !== 'all') {
    await world.advance(PROMPT)
    world.complete()
    const repairs = world.servers.reduce((sum, { rooms }) => sum + rooms.counts.repairs, 0)
    // Who reads from the broker can be ahead of the live stream, and so can a comparison: then the room is repaired so far.
    const replays = world.clients.reduce((sum, { replays }) => sum + replays, 0)
    const comparisons = Math.floor(world.clock.time / COMPARE) * world.setting.servers * world.setting.rooms
    if (troubles === 'none' && repairs > replays + comparisons) world.wrong(`rooms were repaired ${repairs} times, though nothing was ever missing`)
  }
  await world.advance(REST)
  world.complete()

  world.say('--- all come back')
  const reads = world.reads
  for (const [i, client] of world.clients.entries()) {
    if (client.cursor !== undefined) world.subscribe(client, world.servers[i % world.servers.length]!, 'again')
  }
  await world.advance(TIMEOUT)
  for (const client of world.clients) if (client.cursor !== undefined && !client.connected) world.wrong(`${client.name} could not come back`)
  world.complete()
  // Each may need a read, a further one where a room is behind, and one for every page of the window.
  const most = world.clients.length * (2 + world.setting.window)
  if (world.reads - reads > most) world.wrong(`${world.reads - reads} reads, for ${world.clients.length} clients that came back`)

  world.say('--- all leave')
  for (const client of world.clients) client.drop()
  await world.advance(LINGER + 8_000)
  for (const { rooms, adaptor } of world.servers) {
    if (rooms.size > 0 || adaptor.rooms > 0) world.wrong(`${rooms.size} rooms are kept, ${adaptor.rooms} at the broker, for nobody`)
    void rooms.close()
  }
  await world.advance(10_000)
  if (world.clock.pending > 0) world.wrong(`${world.clock.pending} timers are left behind`)
  await world.advance(0)
}

/** A hole, and while it is being read another one: told by a doubt, or shown by the message after it, and by nothing else. */
async function loseTwice (world: World, how: 'told' | 'shown'): Promise<void> {
  const adaptors = world.servers.map(({ adaptor }) => adaptor)
  const publish = (): void => {
    for (const room of world.cluster.histories.keys()) world.cluster.append({ room, text: world.text() })
  }
  for (const adaptor of adaptors) {
    adaptor.skip()
    adaptor.faults.push({ call: 'read', kind: 'late', delay: 40, left: 1 })
  }
  publish()
  publish()
  await world.advance(world.random.upTo(50))
  if (how === 'told') for (const adaptor of adaptors) adaptor.cut(false)
  else for (const adaptor of adaptors) adaptor.skip()
  publish()
  for (const { faults } of adaptors) {
    faults.length = 0
    if (how === 'told' && world.random.chance(0.5)) faults.push({ call: 'positions', kind: 'refused', delay: 0, left: 1 })
  }
  if (how === 'told') for (const adaptor of adaptors) adaptor.mend()
  else publish()
}

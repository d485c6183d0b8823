import type { Stage } from './stage.js'
import type { Arena, World } from './troubles.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../simulation/clock.js'
import { jetStream } from './jetstream-troubles.js'
import { redis } from './redis-troubles.js'

/** What a round came to. */
export interface Counts {
  acknowledged: number
  delivered: number
  refused: number
  unknown: number
  gaps: number
  duplicates: number
  disorder: number
  losses: number
  /** Of the trouble's end, in ms. */
  healing: number
}

export interface Round extends Counts {
  seed: number
  /** Whether the broker lost something. */
  lossy: boolean
  troubles: string[]
  /** In words. Where nothing was lost, a gap is wrong as well. */
  wrong: string[]
}

/** What is used of a test. */
export interface Teardown { teardown (work: () => unknown): void, comment (text: string): void }

/** It ends with the round. */
class Scope implements Teardown {
  readonly #teardowns: Array<() => unknown> = []
  teardown (work: () => unknown): void { this.#teardowns.push(work) }
  comment (): void {}
  async close (): Promise<void> { for (const work of this.#teardowns.reverse()) await work() }
}

/** A round: new servers on a new broker, a few troubles in the middle of traffic and of coming and going, and what the oracle says in the end. */
async function round<In extends World> (arena: Arena<In>, seed: number): Promise<Round> {
  const scope = new Scope()
  const random = new Random(seed)
  const isLossy = random.chance(0.5)
  const result: Round = { seed, lossy: isLossy, troubles: [], wrong: [], acknowledged: 0, delivered: 0, refused: 0, unknown: 0, gaps: 0, duplicates: 0, disorder: 0, losses: 0, healing: 0 }
  try {
    // Where something is lost anyway, the window may move past who is away.
    const size = isLossy && random.chance(0.3) ? 40 : 100_000
    const world = await arena.start(scope, random.upTo(1e9), size)
    await worry(arena, world, random, result)
    await account(world.stage, result)
  } catch (error) {
    result.wrong.push(String(error))
  } finally {
    await scope.close()
  }
  return result
}

async function worry<In extends World> ({ lossless, lossy }: Arena<In>, world: In, random: Random, { lossy: isLossy, troubles }: Round): Promise<void> {
  const { stage } = world
  const make = async (): Promise<void> => {
    for (let i = random.upTo(3), loses = random.upTo(i); i >= 0; i--) {
      await sleep(random.upTo(300))
      const all = isLossy && (i === loses || random.chance(0.3)) ? lossy : lossless
      const name = stage.pick(Object.keys(all))
      troubles.push(name)
      await all[name]!(world)
    }
    // Sometimes the traffic goes on, sometimes the trouble is the last that is heard.
    if (random.chance(0.5)) await stage.progress(20)
  }
  await stage.busy(make)
}

async function account (stage: Stage, result: Round): Promise<void> {
  result.healing = await stage.healed()
  if (result.lossy) {
    // What is published from now on reaches everybody, and shows what history is.
    for (const room of stage.rooms) await stage.publish(2, { room })
    await stage.healed()
  }
  const verdict = await stage.end()
  result.gaps = verdict.gaps
  for (const kind of ['duplicates', 'disorder', 'losses'] as const) {
    result[kind] = verdict[kind].length
    result.wrong.push(...verdict[kind])
  }
  if (!result.lossy && verdict.gaps > 0) result.wrong.push(`gaps, where nothing was lost: ${stage.state()}`)
  for (const { result: what } of stage.outcomes) if (what !== 'pending') result[what]++
  result.delivered = stage.listeners.reduce((sum, { texts }) => sum + texts.length, 0)
}

/** Makes a round of a seed, on each broker that there are troubles for. */
export const rounds: Record<'redis' | 'jetstream' | 'jetstream-2.9', (seed: number) => Promise<Round>> = {
  redis: async (seed) => await round(redis, seed),
  jetstream: async (seed) => await round(jetStream('nats-current'), seed),
  'jetstream-2.9': async (seed) => await round(jetStream('nats'), seed)
}

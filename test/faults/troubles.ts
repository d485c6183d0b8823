import type { Teardown } from './rounds.js'
import type { Proxy } from './proxy.js'
import type { StageServer } from './servers.js'
import type { Stage } from './stage.js'
import { setTimeout as sleep } from 'node:timers/promises'

/** What troubles are made to: a stage whose servers are behind proxies, and the broker behind these. */
export interface World { stage: Stage }

export type Trouble<In extends World = World> = (world: In) => Promise<unknown>

/** A broker that rounds are made on, and what can happen to it. */
export interface Arena<In extends World> {
  /** `size`: so many messages a room are kept. */
  start (scope: Teardown, seed: number, size: number): Promise<In>
  /** Nobody is to notice these. */
  readonly lossless: Readonly<Record<string, Trouble<In>>>
  /** The broker loses what it acknowledged. */
  readonly lossy: Readonly<Record<string, Trouble<In>>>
}

export function proxyOf (server: StageServer): Proxy {
  return server.proxy as Proxy
}

/** One server of the stage. */
export function one ({ stage }: World): Proxy {
  return proxyOf(stage.pick(stage.servers))
}

async function stalled (world: World, which: 'all' | 'live', most: number): Promise<void> {
  const proxy = one(world)
  proxy.stall(which)
  await sleep(world.stage.random.upTo(most))
  proxy.flow()
}

/** Of the links to any broker. `answer`: what tells that something was stored. */
export const links = (answer: RegExp): Record<string, Trouble> => ({
  'cut the live links': async ({ stage }) => stage.each((proxy) => proxy.cut('live')),
  'cut a server off': async (world) => one(world).cut(),
  'cut commands': async (world) => one(world).cut('commands'),
  'stall a server': async (world) => await stalled(world, 'all', 6_000),
  'stall a live link': async (world) => await stalled(world, 'live', 1_500),
  'drop messages': async ({ stage }) => stage.each((proxy) => proxy.drop(1 + stage.random.upTo(3))),
  'lose a reply': async (world) => await Promise.race([one(world).loseReply(answer), sleep(2_000)])
})

import type { Test } from 'tap'
import type { Cursor } from '../../lib/cursor.js'
import type { SimulatedServer } from './world.js'
import { test } from 'tap'
import { Client } from './client.js'
import { Record } from './oracle.js'
import { World } from './world.js'

const ROOM = 'room 0'
const setting = { servers: 1, rooms: 1, clients: 0, window: 500, tail: 10, age: Infinity, inbox: 100, slice: 2, page: 0, replay: undefined, snapshots: false, troubles: 'all', chance: 1 } as const

function client (t: Test, world: World): Client {
  const wrong = (what: string): void => { t.fail(what) }
  const { clock, cluster } = world
  return new Client('a client', ROOM, clock, () => new Record(cluster.history(ROOM), { snapshots: false, replay: undefined, whole: true, ages: false, wrong }), () => {})
}

/** Lets so many clients resume in one turn, each with a cursor of its own, and answers how often the broker was read from. */
async function herd (t: Test, world: World, cursors: Cursor[]): Promise<number> {
  const { reads } = world
  const clients = cursors.map((since) => {
    const one = client(t, world)
    one.subscribe(world.servers[0] as SimulatedServer, { since }, (what) => t.fail(what))
    return one
  })
  await world.advance(5_000)
  for (const one of clients) {
    if (!one.connected) t.fail('a client could not come back')
    one.record?.complete()
  }
  return world.reads - reads
}

/** A server whose room has more behind it than its tail holds, and than the broker retains. */
async function established (t: Test): Promise<World> {
  const world = new World(setting)
  client(t, world).subscribe(world.servers[0] as SimulatedServer, {}, (what) => t.fail(what))
  await world.advance(100)
  for (let i = 0; i < 40; i++) {
    world.publish(world.servers[0] as SimulatedServer, ROOM, 20)
    await world.advance(100)
  }
  return world
}

test('2,000 clients that come back at once cost a handful of reads', async (t) => {
  const world = await established(t)
  const { epoch, offset } = world.cluster.history(ROOM).top
  t.equal(offset, 800)
  const spread = (from: number, to: number): Cursor[] => Array.from({ length: 2_000 }, (_, i) => ({ epoch, offset: from + i % (to - from + 1) }))

  t.equal(await herd(t, world, spread(795, 800)), 0, 'none from within the tail')
  await world.advance(20_000)
  t.ok(await herd(t, world, spread(300, 800)) <= 2, 'from all over the window')
  await world.advance(20_000)
  t.ok(await herd(t, world, spread(0, 800)) <= 2, 'from before the window, too')
  await world.advance(20_000)
  t.ok(await herd(t, world, Array.from({ length: 2_000 }, () => ({ epoch: 99, offset: 7 }))) <= 2, 'from one history that is no more')

  world.cluster.history(ROOM).fork(5, true)
  await world.advance(20_000)
  t.ok(await herd(t, world, spread(796, 800)) <= 6, 'from what a failover lost: one for each lost position')
})

test('a cursor above the top is judged by the broker each time: who holds it once it came true is told no gap', async (t) => {
  const world = await established(t)
  const [server] = world.servers as [SimulatedServer]
  const { epoch, offset } = world.cluster.history(ROOM).top
  const since = { epoch, offset: offset + 3 }
  const early = client(t, world)
  early.subscribe(server, { since }, (what) => t.fail(what))
  await world.advance(100)
  t.same(early.cursor, { epoch, offset }, 'it was told where the room stands')

  world.publish(server, ROOM, 20)
  await world.advance(100)
  const genuine = client(t, world)
  const subscription = genuine.subscribe(server, { since }, (what) => t.fail(what))
  await world.advance(100)
  t.match(subscription.answer, { id: since, recovered: true, replayed: 17 })
  genuine.record?.complete()
})

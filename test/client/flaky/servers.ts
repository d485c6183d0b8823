import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Broker } from '../../../index.js'
import { MemoryBroker } from '../../../lib/brokers/memory.js'
import { startApp } from '../../helpers.js'

export interface Place { app: FastifyInstance, url: string }

// Small enough that whoever is away for a moment has missed more than is replayed, and sometimes more than is retained.
const SIZE = 40
const REPLAY = 8

/** Two servers, and the broker that both use. */
export async function twoServers (t: Pick<Test, 'teardown'>): Promise<Place[]> {
  const broker = new MemoryBroker({ history: { size: SIZE, maxAge: 300_000, bytes: 1_000_000 }, idempotencyTtl: 300_000 })
  const servers: Array<Parameters<Broker['start']>[0]> = []
  await broker.start({
    message: (...about) => { for (const server of servers) server.message(...about) },
    doubt: (...about) => { for (const server of servers) server.doubt(...about) }
  })
  const share = (): Broker => ({
    start: async (events) => { servers.push(events) },
    subscribe: async (room) => await broker.subscribe(room),
    // The other may need it.
    unsubscribe: async () => {},
    publish: async (messages) => await broker.publish(messages),
    read: async (...about) => await broker.read(...about),
    positions: async (rooms) => await broker.positions(rooms),
    close: async () => {}
  })
  const places = [await startApp(t, options(share())), await startApp(t, options(share()))]
  t.teardown(() => broker.close())
  // A fetch that is aborted connects anew, and says nothing: a closing server would wait for that for a minute.
  t.teardown(() => { for (const { app } of places) app.server.closeAllConnections() })
  return places
}

const options = (broker: Broker): object => ({ broker, authorize: () => true, clientPublish: true, limits: { replay: REPLAY, framesPerSecond: 500 } })

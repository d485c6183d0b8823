import type { Test } from 'tap'
import type { ContractOptions } from './server.js'
import { newRoom, Server } from './server.js'

/** Where no messages are kept: every cursor falls into a gap, and is told where it stands. */
export function windowless (t: Test, options: ContractOptions): void {
  t.test('whoever comes back is told a gap', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2')
    await server.heard(room, 2)
    for (const since of [start, ...ids, { epoch: 12345, offset: 7 }, { epoch: start.epoch, offset: Number.MAX_SAFE_INTEGER }]) {
      const window = await server.broker.read(room, { since, limit: 10 })
      t.match(window, { entries: [{ type: 'gap', id: window.position }], start: window.position, more: false })
      t.equal(window.entries.length, 1)
    }
  })

  t.test('there is nothing to begin with', async (t) => {
    const server = await Server.start(t, options)
    const room = newRoom()
    await server.broker.subscribe(room)
    await server.publish(room, '1')
    await server.heard(room, 1)
    for (const request of [{ limit: 10 }, { last: 5, limit: 10 }]) {
      const window = await server.broker.read(room, request)
      t.match(window, { entries: [], start: window.position, more: false })
    }
  })
}

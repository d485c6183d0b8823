import type { Tests } from './server.js'
import { sameCursor } from '../../../lib/cursor.js'
import { match, newRoom, same, texts } from './server.js'

/** Where no messages are kept: whoever missed some falls into a gap, and is told where it stands. */
export const windowless: Tests = {
  'whoever comes back is told a gap': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2')
    await server.heard(room, 2)
    for (const since of [start, ...ids, { epoch: 12345, offset: 7 }, { epoch: start.epoch, offset: Number.MAX_SAFE_INTEGER }]) {
      const window = await server.broker.read(room, { since, limit: 10 })
      match(window, { start: window.position, more: false }, 'from now on')
      // At the top nothing is missing, where the broker can tell.
      if (sameCursor(since, ids[1]!) && window.entries.length === 0) continue
      same(window.entries.map(({ type, id }) => ({ type, id })), [{ type: 'gap', id: window.position }], 'one gap, up to the top')
    }
  },

  'there is nothing to begin with': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    await server.publish(room, '1')
    await server.heard(room, 1)
    for (const request of [{ limit: 10 }, { last: 5, limit: 10 }]) {
      const window = await server.broker.read(room, request)
      same(texts(window), [], 'no message is kept, and who asks for what there is misses none')
      match(window, { start: window.position, more: false }, 'from now on')
    }
  }
}

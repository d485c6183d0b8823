import type { Cursor } from '../../../lib/cursor.js'
import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { match, newRoom, same, texts } from './server.js'

/** Where no messages are kept: whoever comes back falls into a gap, and is told where it stands. */
export const windowless: Tests = {
  'it says that it is': async (stage) => {
    same((await stage.options.create({ test () {}, after () {} }, { size: 1, idempotencyTtl: 1 })).windowless, true, 'windowless')
  },

  'whoever comes back is told a gap': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const start = await server.broker.subscribe(room)
    const ids = await server.publish(room, '1', '2')
    await server.heard(room, 2)
    for (const since of [start, ...ids, { epoch: 12345, offset: 7 }, { epoch: start.epoch, offset: Number.MAX_SAFE_INTEGER }]) {
      const window = await server.broker.read(room, { since, limit: 10 })
      same(window, { entries: [{ type: 'gap', id: ids[1], reason: 'expired' }], start: ids[1], position: ids[1], more: false }, 'one gap, up to where the room stands here')
    }
  },

  'no position comes again after the room was left': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    const positions: Cursor[] = []
    for (let i = 0; i < 5; i++) {
      positions.push(await server.broker.subscribe(room), ...await server.publish(room, '1'))
      await server.heard(room, i + 1)
      await server.broker.unsubscribe(room)
    }
    same(new Set(positions.map(({ epoch, offset }) => `${epoch}-${offset}`)).size, 10, 'each its own')
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

/** Several servers on the same rooms. */
export const sharedWindowless: Tests = {
  'two servers: the same messages and ids, those of each in its order': async (stage) => {
    const servers = [await stage.start(), await stage.start()]
    const room = newRoom()
    const starts = await Promise.all(servers.map(async ({ broker }) => await broker.subscribe(room)))
    const ids = await Promise.all(servers.map(async (server, s) => await server.publish(room, ...Array.from({ length: 50 }, (_, i) => JSON.stringify([s, i])))))
    for (const [s, server] of servers.entries()) {
      const messages = await server.heard(room, 100)
      same(messages.length, 100, 'each once')
      for (const [i, { previous }] of messages.entries()) same(previous, messages[i - 1]?.id ?? starts[s], 'previous is the position before it here')
      for (const [sender, sent] of ids.entries()) {
        const heard = messages.filter(({ text }) => JSON.parse(text)[0] === sender)
        same(heard.map(({ text }) => JSON.parse(text)[1]), Array.from({ length: 50 }, (_, i) => i), 'in the order of their server')
        same(heard.map(({ id }) => id), sent, 'with the ids that it was told')
      }
    }
    assert.notDeepEqual(ids[0], ids[1], 'ids of two servers differ')
  }
}

import type { Tests } from './server.js'
import assert from 'node:assert/strict'
import { newRoom, pause, same } from './server.js'

/** What keeps a process alive, but for what a runner's reporter may write to. */
function held (): number {
  return process.getActiveResourcesInfo().filter((type) => /Timeout|TCP|TLS|UDP|PipeConnect|DNS|GetAddrInfo/.test(type)).length
}

/** The end. */
export const closing: Tests = {
  'close settles what is in flight, and nothing comes after it': async (stage) => {
    const { broker } = await stage.start()
    const room = newRoom()
    const seen = await broker.subscribe(room)
    // Each is watched: one that does not settle in time fails the test.
    const publishing = Array.from({ length: 20 }, () => broker.publish([{ room, text: '1' }, { room, text: '2' }]))
    const others = [broker.read(room, { limit: 10 }), broker.positions([{ room, seen }]), broker.subscribe(newRoom()), broker.unsubscribe(newRoom())]
    const outcomes = Promise.allSettled([...publishing, ...others])
    await broker.close()
    for (const outcome of (await outcomes).slice(0, 20)) {
      assert.ok(outcome.status === 'fulfilled', 'a publish never rejects as a whole')
      same((outcome.value as unknown[]).length, 2, 'and answers for each message')
    }
    await pause()
  },

  'close lets go of every connection and timer': async (stage) => {
    const before = held()
    const server = await stage.start({ idempotencyTtl: 60_000 })
    const room = newRoom()
    await server.broker.subscribe(room)
    await server.broker.publish([{ room, text: '1', ...(stage.options.keys !== false && { idempotencyKey: 'a' }) }])
    await server.heard(room, 1)
    await server.broker.close()
    await server.until(() => held() <= before, 'all that would keep the process alive to be gone')
  },

  'a closed broker refuses each message': async (stage) => {
    const { broker } = await stage.start()
    await broker.close()
    const results = await broker.publish([{ room: newRoom(), text: '1' }, { room: newRoom(), text: '2' }])
    same(results.map((result) => result instanceof Error), [true, true], 'an Error for each')
  }
}

import type { Test } from 'tap'
import type { ContractOptions } from './server.js'
import { newRoom, pause, Server, until } from './server.js'

/** The end. */
export function closing (t: Test, options: ContractOptions): void {
  t.test('close settles what is in flight, and nothing comes after it', async (t) => {
    const server = await Server.start(t, options)
    const { broker } = server
    const room = newRoom()
    const seen = await broker.subscribe(room)
    const inFlight = [
      ...Array.from({ length: 20 }, () => broker.publish([{ room, text: '1' }, { room, text: '2' }])),
      broker.read(room, { limit: 10 }),
      broker.positions([{ room, seen }]),
      broker.subscribe(newRoom()),
      broker.unsubscribe(newRoom())
    ]
    let outcomes: Array<PromiseSettledResult<unknown>> | undefined
    Promise.allSettled(inFlight).then((all) => { outcomes = all }, () => {})
    await broker.close()
    const before = server.received.length
    await until(() => outcomes !== undefined, 'what is in flight to be settled')
    t.ok(outcomes?.slice(0, 20).every(({ status }) => status === 'fulfilled'), 'a publish never rejects as a whole')
    await pause()
    t.equal(server.received.length, before, 'no event after close has resolved')
  })

  t.test('a closed broker refuses each message', async (t) => {
    const server = await Server.start(t, options)
    await server.broker.close()
    const results = await server.broker.publish([{ room: newRoom(), text: '1' }, { room: newRoom(), text: '2' }])
    t.equal(results.length, 2)
    t.ok(results.every((result) => result instanceof Error))
  })
}

import type { Cursor } from '../../../lib/cursor.js'
import type { Stage, Tests } from './server.js'
import assert from 'node:assert/strict'
import { accepted, newRoom, same } from './server.js'

/** For brokers that refuse something of a message. */
export const refusals: Tests = {
  'an entry that is refused does not sink the others': async (stage) => {
    const server = await stage.start()
    const room = newRoom()
    await server.broker.subscribe(room)
    const [first, second, third, fourth] = await server.broker.publish([{ room, text: '1' }, { room, ...stage.options.refused! }, { room: newRoom(), text: '3' }, { room, text: '4' }])
    assert.ok(second instanceof Error, 'it is refused by an Error in the place of its result')
    const ids = accepted([first!, third!, fourth!]).map(({ id }) => id) as [Cursor, Cursor, Cursor]
    const messages = await server.heard(room, 2)
    same(messages.map(({ text }) => text), ['1', '4'], 'the others come, and it does not')
    same(messages.map(({ id }) => id), [ids[0], ids[2]], 'results stand in their places')
  }
}

/** And a memory of keys. */
export const refusedKeys: Tests = {
  'a key is not taken by an entry that is refused': async (stage) => {
    const { broker } = await stage.start()
    const room = newRoom()
    const [refused] = await broker.publish([{ room, ...stage.options.refused!, idempotencyKey: 'a' }])
    assert.ok(refused instanceof Error, 'it is refused by an Error')
    same(accepted(await broker.publish([{ room, text: '1', idempotencyKey: 'a' }]))[0]?.duplicate, false, 'the key was not accepted before')
  }
}

/** For brokers that connect to something. */
export const unreachable: Tests = {
  'start rejects where the broker cannot be reached, and may be called again': async (stage) => {
    const server = await stage.server(stage.options.unreachable as NonNullable<Stage['options']['unreachable']>)
    await assert.rejects(server.start(), 'start has to reject')
    await assert.rejects(server.start(), 'start has to reject again')
    const results = await server.broker.publish([{ room: newRoom(), text: '1' }])
    assert.ok(results[0] instanceof Error, 'nor can it be published to')
  }
}

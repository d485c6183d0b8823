import type { Broker, FanOutOptions } from '../../index.js'
import Fastify from 'fastify'
import { test } from 'tap'
import fanOut from '../../index.js'
import { startApp } from '../helpers.js'
import { ownBroker } from './broker.js'

/** What start-up with these options ends with. */
async function start (options: unknown): Promise<{ code: string, message: string } | undefined> {
  const app = Fastify()
  try {
    await app.register(fanOut, options as FanOutOptions)
    await app.ready()
    return undefined
  } catch (error) {
    return error as { code: string, message: string }
  } finally {
    await app.close()
  }
}

test('an unknown option, or an impossible value, stops the start and names it', async (t) => {
  const cases: Array<[object, RegExp]> = [
    [{ prefx: '/x' }, /options\.prefx is not an option; known here are prefix, name, /],
    [{ history: { count: 1 } }, /options\.history\.count is not an option; known here are size, maxAge, bytes/],
    [{ limits: { Frame: 1 } }, /options\.limits\.Frame is not an option; known here are frame, /],
    [{ brokerOptions: { retries: 1 } }, /options\.brokerOptions\.retries is not an option/],
    [{ hooks: { onSend: () => {} } }, /options\.hooks\.onSend is not an option; known here are onRequest, preHandler/],
    [{ publishKeys: [{ id: 'a', key: 'k', room: 'x' }] }, /options\.publishKeys\.0\.room is not an option/],
    [{ prefix: 'rooms' }, /options\.prefix/], [{ prefix: 7 }, /options\.prefix must be string/],
    [{ name: '' }, /options\.name/],
    [{ history: { size: 0 } }, /options\.history\.size must be >= 1/], [{ history: { size: '10' } }, /options\.history\.size must be integer/], [{ history: { size: 1.5 } }, /options\.history\.size/],
    [{ history: { size: 1e9 } }, /options\.history\.size must be <= 1000000/], [{ history: { maxAge: Infinity } }, /options\.history\.maxAge/], [{ history: { maxAge: 2 ** 31 } }, /options\.history\.maxAge/],
    [{ history: { bytes: -1 } }, /options\.history\.bytes/], [{ history: null }, /options\.history must be object/], [{ history: [] }, /options\.history/],
    [{ idempotencyTtl: 0 }, /options\.idempotencyTtl/], [{ linger: -1 }, /options\.linger must be >= 0/], [{ linger: NaN }, /options\.linger/],
    [{ authenticate: true }, /options\.authenticate must be a function/], [{ authorize: 'x' }, /options\.authorize must be a function/], [{ snapshot: {} }, /options\.snapshot must be a function/],
    [{ origins: 'all' }, /options\.origins.*(same|\*)/], [{ origins: [7] }, /options\.origins\.0/], [{ origins: [''] }, /options\.origins\.0/], [{ origins: /x/ }, /options\.origins/], [{ origins: true }, /options\.origins/],
    [{ queryToken: 'true' }, /options\.queryToken must be boolean/], [{ clientPublish: 1 }, /options\.clientPublish/], [{ presence: {} }, /options\.presence/], [{ compression: null }, /options\.compression/],
    [{ publishKeys: 'secret' }, /options\.publishKeys must be array/], [{ publishKeys: [{ id: 'a' }] }, /options\.publishKeys\.0 must have required property 'key'/], [{ publishKeys: [{ id: 'a', key: '' }] }, /options\.publishKeys\.0\.key/],
    [{ publishKeys: [{ id: 'a', key: 'k', rooms: [] }] }, /options\.publishKeys\.0\.rooms/], [{ publishKeys: [{ id: 'a', key: 'k', rooms: '*' }] }, /options\.publishKeys\.0\.rooms must be array/],
    [{ publishKeys: [{ id: 'a', key: 'k' }, { id: 'a', key: 'l' }] }, /options\.publishKeys has two keys with the id "a"/],
    [{ heartbeat: { interval: 0 } }, /options\.heartbeat\.interval/], [{ heartbeat: 5 }, /options\.heartbeat must be object/],
    [{ close: { drain: -1 } }, /options\.close\.drain/], [{ close: { timeout: '5s' } }, /options\.close\.timeout must be integer/],
    [{ limits: { frame: 1 } }, /options\.limits\.frame must be >= 128/], [{ limits: { body: 0 } }, /options\.limits\.body/], [{ limits: { batch: 0 } }, /options\.limits\.batch/], [{ limits: { connections: 0 } }, /options\.limits\.connections/],
    [{ limits: { connectionsPerAddress: false } }, /options\.limits\.connectionsPerAddress/], [{ limits: { replay: 0 } }, /options\.limits\.replay/], [{ limits: { firstFrame: 0 } }, /options\.limits\.firstFrame/], [{ limits: { framesPerSecond: -5 } }, /options\.limits\.framesPerSecond/],
    [{ brokerOptions: { start: 'later' } }, /options\.brokerOptions\.start must be.*wait, background/], [{ brokerOptions: { startTimeout: 0 } }, /options\.brokerOptions\.startTimeout/]
  ]
  for (const [options, message] of cases) {
    const error = await start(options)
    t.match(error, { code: 'FAN_OUT_ERR_INVALID_OPTION', message }, JSON.stringify(options))
    t.match(error?.message, /^fastify-fan-out: /)
  }
})

test("what is undefined is as if not given, and the user's object stays as it was", async (t) => {
  const nested = Object.freeze({ size: 5, maxAge: undefined })
  const options = Object.freeze({ prefix: undefined, authenticate: undefined, history: nested, limits: undefined, publishKeys: Object.freeze([Object.freeze({ id: 'a', key: 'k', rooms: undefined })]) })
  t.equal(await start(options), undefined)
  t.strictSame(Object.keys(options.history), ['size', 'maxAge'])
  t.equal(await start(undefined), undefined)
  t.equal(await start({ hooks: {}, history: {}, limits: {}, publishKeys: [], origins: [] }), undefined)
  t.equal(await start(Object.assign(Object.create(null), { history: nested })), undefined)
})

test('a broker by its URL', async (t) => {
  t.equal(await start({ broker: 'memory:' }), undefined)
  for (const broker of ['memory', '', 'not a url', 'localhost:6379', '//redis', 'redis', 'http://user:hunter2@example.com', 'rediss+what://:hunter2@host/0', 'hunter2 redis://x', 'postgres://u:hunter2@h/d?password=hunter2', '__proto__:', 'constructor:']) {
    const error = await start({ broker })
    t.match(error, { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /options\.broker takes a URL that begins with .*memory:/ }, broker)
    t.notMatch(error?.message, /hunter2/)
  }
})

test('a broker of the app', async (t) => {
  for (const broker of [null, 7, true, {}, [], new URL('memory:'), () => {}]) t.match(await start({ broker }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /options\.broker.*start\(\)/ }, String(broker))
  const { read, ...partial } = ownBroker()
  t.ok(read)
  t.match(await start({ broker: partial }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /it has no read\(\)/ })
  t.match(await start({ broker: { ...partial, read: 'read' } }), { message: /it has no read\(\)/ })

  // A plain object with a state is used itself, and not a copy of it.
  const inner = ownBroker()
  const broker: Broker & { calls: string[] } = {
    calls: [],
    start (events) { this.calls = ['start']; return inner.start(events) },
    subscribe: (room) => inner.subscribe(room),
    unsubscribe: (room) => inner.unsubscribe(room),
    publish (messages) { this.calls.push('publish'); return inner.publish(messages) },
    read: (room, request) => inner.read(room, request),
    positions: (rooms) => inner.positions(rooms),
    close () { this.calls.push('close'); return inner.close() }
  }
  const { app } = await startApp(t, { broker })
  await app.rooms.publish('a', 1)
  await app.close()
  t.strictSame(broker.calls, ['start', 'publish', 'close'])
})

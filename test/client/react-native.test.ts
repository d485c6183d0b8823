import type { Test } from 'tap'
import type { Client, connect, ConnectOptions, Room, RoomMessage } from '../../client/index.js'
import { runInContext } from 'node:vm'
import { test } from 'tap'
import { Proxy } from '../faults/proxy.js'
import { newRoom, startApp, until } from '../helpers.js'
import { joined, record } from './helpers.js'
import { reactNative } from './react-native.js'

/** A client in React Native, closed when the test ends. */
function open (t: Test, url: string, options: ConnectOptions = {}): { client: Client, context: ReturnType<typeof reactNative>['context'], errors: unknown[] } {
  const { context, errors } = reactNative()
  const client = (context['fanOut'] as { connect: typeof connect }).connect(url, options)
  t.teardown(() => client.close())
  return { client, context, errors }
}

/** As the loops that Babel makes where there is no Symbol.asyncIterator. */
async function iterate (room: Room, most: number): Promise<unknown[]> {
  const iterator = (room as unknown as Record<string, () => AsyncIterator<RoomMessage>>)['@@asyncIterator']!()
  const all: unknown[] = []
  for (;;) {
    const { done, value } = await iterator.next()
    if (done) return all
    if (all.push(value.data ?? value.type) === most) await iterator.return?.()
  }
}

test('in React Native, rooms are joined, told, iterated and published to', async (t) => {
  const { app, url } = await startApp(t, { authorize: () => true, clientPublish: true, presence: true })
  const { client, context, errors } = open(t, `${url}/rooms`)
  for (const name of ['EventTarget', 'Event', 'DOMException', 'document', 'location', 'ReadableStream', 'TextDecoder']) t.notOk(name in context, `there is no ${name}`)
  const name = newRoom()
  const room = client.join(name, { presence: true })
  room.addEventListener('message', () => { throw new Error('of the application') })
  const told = record(room)
  let once = 0
  room.addEventListener('message', () => once++, { once: true })
  const read = Promise.all([iterate(room, 2), iterate(room, 99)])
  await joined(room)
  t.match(client, { state: 'open', transport: 'websocket' })
  const first = await room.publish({ text: 'hello' })
  await app.rooms.publish(name, 2)
  await client.publish(name, 3, { idempotencyKey: 'k' })
  t.match(await client.publish(name, 3, { idempotencyKey: 'k' }), { duplicate: true })
  await until(() => told.data.length === 3)
  t.same(told.data, [{ text: 'hello' }, 2, 3])
  t.equal(once, 1)
  await until(() => errors.length === 3)
  t.match(errors[0], { message: 'of the application' })
  t.strictSame((await room.history({ since: first.id, limit: 10 })).messages.map(({ data }) => data), [2, 3])
  t.match(await room.presence(), { count: 1 })
  t.match(await room.history({ limit: 5_000 }).catch((error: unknown) => error), { name: 'FanOutError', code: 'FAN_OUT_ERR_INVALID_REQUEST', status: 400 })
  room.leave()
  t.same(await read, [[{ text: 'hello' }, 2], [{ text: 'hello' }, 2, 3]])
  client.close()
  t.throws(() => client.join(name), { code: 'FAN_OUT_ERR_CLOSED' })
})

test('in React Native, what is cut is resumed, and what was too much is read over HTTP', async (t) => {
  const { app, url } = await startApp(t, {
    limits: { replay: 5 },
    authenticate: async (_, token) => {
      if (!token) throw new Error('no')
      return { user: 'me' }
    },
    authorize: () => true,
    clientPublish: true
  })
  const proxy = await Proxy.start(t, Number(new URL(url).port))
  let tokens = 0
  const { client, context } = open(t, `ws://127.0.0.1:${proxy.port}/rooms`, { token: async () => `token-${++tokens}` })
  // It does not back off for long.
  runInContext('const { random } = Math; Math.random = () => random() / 50', context)
  const transports: unknown[] = []
  client.addEventListener('state', ({ transport }) => transports.push(transport))
  const name = newRoom()
  const room = client.join(name, { history: true })
  const told = record(room)
  await joined(room)
  await app.rooms.publish(name, 1)
  await until(() => told.data.length === 1)
  for (const most of [3, 30]) {
    proxy.refuse(true)
    await until(() => room.state === 'joining')
    const published = room.publish(`published while away from ${most}`)
    for (let n = told.data.length; n <= most; n++) await app.rooms.publish(name, n)
    // So long that it looks as if WebSockets were blocked; there is nothing that could take their place.
    await until(() => transports.filter((transport) => !transport).length > 6)
    transports.length = 0
    proxy.refuse(false)
    await joined(room)
    await published
    const { messages } = await app.rooms.history(name)
    await until(() => told.data.length === messages.length)
    t.strictSame(told.events.map(({ type, data }) => data ?? type), messages.map(({ data }) => data))
    t.equal(told.states.at(-1)?.recovered, most === 3)
  }
  t.ok(tokens > 2, 'a token for each connection')
  t.equal(client.transport, 'websocket')
})

test('in React Native, signals end what they were given to', async (t) => {
  const { url } = await startApp(t)
  const { client, context } = open(t, `${url}/rooms/?x#y`)
  const { AbortController: Aborter } = context as unknown as { AbortController: typeof AbortController }
  const [leaving, silencing, giving] = [new Aborter(), new Aborter(), new Aborter()]
  const room = client.join(newRoom(), { signal: leaving.signal })
  let states = 0
  room.addEventListener('state', () => states++, { signal: silencing.signal })
  await joined(room)
  silencing.abort()
  leaving.abort()
  t.equal(room.state, 'left')
  t.equal(states, 1)
  const waiting = client.publish('r', 1, { signal: giving.signal }).catch((error: unknown) => error)
  giving.abort()
  t.match(await waiting, { code: 'FAN_OUT_ERR_ABORTED' })
})

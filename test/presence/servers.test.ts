import type { Test } from 'tap'
import type { FanOutOptions, Member } from '../../index.js'
import type { Client } from '../helpers.js'
import type { UrlOf } from './each.js'
import { test } from 'tap'
import { connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { onEach } from './each.js'

const authorize = (): true => true

async function startServers (t: Test, urlOf: UrlOf, count: number, options: FanOutOptions = {}): Promise<Array<Awaited<ReturnType<typeof startApp>>>> {
  const redis = await RedisServer.start(t)
  return await Promise.all(Array.from({ length: count }, () => startApp(t, { broker: urlOf(redis), presence: true, authorize, ...options })))
}

async function subscribe (t: Test, url: string, room: string, presence = false): Promise<Client> {
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, presence })
  await client.frame({ type: 'subscribed' })
  return client
}

const idOf = (client: Client): string => client.of('welcome')[0]!['connection']
const connections = (members: Member[]): string[] => members.map(({ connection }) => connection).sort()

onEach('the list of a room is the same on every server, on one with none of its subscribers too', async (t, urlOf) => {
  const [a, b, c] = await startServers(t, urlOf, 3) as [any, any, any]
  const room = newRoom()
  const clients = [await subscribe(t, a.url, room), await subscribe(t, b.url, room), await subscribe(t, b.url, room)]
  const stream = await openStream(t, `${a.url}/rooms/${room}/events`)
  await stream.event({ event: 'subscribed' })
  await subscribe(t, b.url, newRoom())
  for (const { url, app } of [a, b, c]) {
    const { count, members } = await (await fetch(`${url}/rooms/${room}/presence`, { headers: withKey })).json() as { count: number, members: Member[] }
    t.equal(count, 4)
    for (const client of clients) t.ok(members.some(({ connection }) => connection === idOf(client)))
    t.strictSame(connections(await app.rooms.presence(room)), connections(members))
  }
  t.strictSame(await c.app.rooms.presence(newRoom()), [])
  clients[1]!.websocket.terminate()
  await until(async () => (await a.app.rooms.presence(room)).length === 3)
})

onEach('a server that has just started has the whole list: at once, where it can read who spoke lately, and soon where it cannot', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const a = await startApp(t, { broker: urlOf(redis), presence: true })
  const room = newRoom()
  const client = await subscribe(t, a.url, room)
  const b = await startApp(t, { broker: urlOf(redis), presence: true })
  const list = async (): Promise<string[]> => connections(await b.app.rooms.presence(room))
  if (urlOf(redis).startsWith('redis+pubsub:')) await until(async () => (await list()).length > 0, 'it to be greeted', 1_000)
  t.strictSame(await list(), [idOf(client)])
})

onEach('joins and leaves are told on every server, each once', async (t, urlOf) => {
  const [a, b, c] = await startServers(t, urlOf, 3) as [any, any, any]
  const room = newRoom()
  const there = await subscribe(t, b.url, room)
  const watchers = [await subscribe(t, a.url, room, true), await subscribe(t, a.url, room, true), await subscribe(t, c.url, room, true)]
  const joiners = await Promise.all([a, b, c, b].map(({ url }) => subscribe(t, url, room)))
  for (const watcher of watchers) for (const joiner of joiners) await watcher.frame({ type: 'join', room, member: { connection: idOf(joiner) } })
  joiners[0]!.send({ type: 'unsubscribe', room })
  joiners[1]!.websocket.terminate()
  there.websocket.terminate()
  const left = [joiners[0]!, joiners[1]!, there].map(idOf).sort()
  // A last one, after which nothing more can come.
  const last = await Promise.all([a, b, c].map(({ url }) => subscribe(t, url, room)))
  for (const [i, watcher] of watchers.entries()) {
    for (const client of last) await watcher.frame({ type: 'join', member: { connection: idOf(client) } })
    t.strictSame(watcher.of('leave').map(({ member }) => member.connection).sort(), left)
    // Its own join is not told to it; of the other watchers those that came later are.
    const expected = [...joiners, ...last, ...watchers.slice(i + 1)].map(idOf).sort()
    t.strictSame(watcher.of('join').map(({ member }) => member.connection).sort(), expected)
  }
})

onEach('a client that was given another identity is told of on other servers', async (t, urlOf) => {
  const authenticate = async (_: unknown, token?: string): Promise<{ user: string, info: unknown } | null> => token === undefined ? null : { user: 'ada', info: { mood: token } }
  const [a, b] = await startServers(t, urlOf, 2, { authenticate }) as [any, any]
  const room = newRoom()
  const watcher = await subscribe(t, a.url, room, true)
  const client = await connect(t, b.url, `/rooms?room=${room}`, ['fan-out.v1', 'bearer.fine'])
  const connection = (await client.frame({ type: 'welcome' }))['connection']
  await watcher.frame({ type: 'join', member: { connection, user: 'ada', info: { mood: 'fine' } } })
  client.send({ type: 'auth', token: 'better' })
  await watcher.frame({ type: 'join', member: { connection, user: 'ada', info: { mood: 'better' } } })
  client.websocket.terminate()
  await watcher.frame({ type: 'leave', member: { connection, user: 'ada', info: { mood: 'better' } } })
  t.equal(watcher.of('join').length, 2)
  t.equal(watcher.of('leave').length, 1)
})

test('2,000 members on one server', async (t) => {
  const [a, b] = await startServers(t, ({ port }) => `redis://127.0.0.1:${port}`, 2) as [any, any]
  const room = newRoom()
  const watcher = await subscribe(t, a.url, room, true)
  const COUNT = 2_000
  // Kept: a response that nobody holds is cancelled when it is collected.
  const responses: Response[] = []
  for (let i = 0; i < COUNT; i += 250) responses.push(...await Promise.all(Array.from({ length: 250 }, () => fetch(`${b.url}/rooms/${room}/events`))))
  await until(() => watcher.of('join').length === COUNT)
  t.equal(new Set(watcher.of('join').map(({ member }) => member.connection)).size, COUNT)
  const start = performance.now()
  const members = await a.app.rooms.presence(room)
  t.comment(`the list took ${Math.round(performance.now() - start)} ms`)
  t.equal(members.length, COUNT + 1)
  t.equal(new Set(connections(members)).size, COUNT + 1)
  for (const { body } of responses) void body?.cancel()
  await until(() => watcher.of('leave').length === COUNT)
})

onEach('a server that closes takes its members with it, at once', async (t, urlOf) => {
  const [a, b] = await startServers(t, urlOf, 2, { heartbeat: { interval: 60_000 } }) as [any, any]
  const room = newRoom()
  const watcher = await subscribe(t, a.url, room, true)
  const client = await subscribe(t, b.url, room)
  await watcher.frame({ type: 'join', member: { connection: idOf(client) } })
  await b.app.close()
  await watcher.frame({ type: 'leave', member: { connection: idOf(client) } })
  t.strictSame(connections(await a.app.rooms.presence(room)), [idOf(watcher)])
  const start = performance.now()
  await a.app.rooms.presence(room)
  t.ok(performance.now() - start < 900, 'it is not waited for')
  t.equal(watcher.of('leave').length, 1)
  await t.rejects(b.app.rooms.presence(room), { code: 'FAN_OUT_ERR_CLOSING' })
})

onEach('what servers say among themselves is not counted; and where no presence is kept nothing is said', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const [a, b] = await Promise.all([true, true, false].map(async (presence) => await startApp(t, { broker: urlOf(redis), presence, authorize }))) as [any, any, any]
  const internal = async (): Promise<string[]> => (await redis.admin.pubsub('CHANNELS', '*fan-out:1:server*') as string[])
  t.equal((await internal()).length, 3, 'one for all, and one each for two')
  const room = newRoom()
  const watcher = await subscribe(t, a.url, room, true)
  const client = await subscribe(t, b.url, room)
  await watcher.frame({ type: 'join', member: { connection: idOf(client) } })
  await a.app.rooms.presence(room)
  for (const { app } of [a, b]) t.match(app.rooms.stats(), { rooms: 1, subscriptions: 1, published: 0, received: 0, delivered: 0, gaps: 0, repairs: 0 })
  t.equal((await internal()).length, 3, 'no more for a room that is watched')
})

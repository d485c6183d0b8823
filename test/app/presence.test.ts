import { test } from 'tap'
import { connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'

const authenticate = async (_request: unknown, token?: string): Promise<{ user: string, info: unknown } | null> => token === undefined ? null : { user: token, info: { name: token.toUpperCase() } }

test('who is in a room: one member for each subscription', async (t) => {
  const { app, url } = await startApp(t, { presence: true, authenticate })
  const room = newRoom()
  const get = async (): Promise<any> => await (await fetch(`${url}/rooms/${room}/presence`, { headers: withKey })).json()
  t.strictSame(await get(), { room, count: 0, members: [] })
  const alice = await connect(t, url, `/rooms?room=${room}&room=${newRoom()}`, ['fan-out.v1', 'bearer.alice'])
  const nobody = await connect(t, url, `/rooms?room=${room}`)
  await alice.frame({ type: 'subscribed', room })
  await nobody.frame({ type: 'subscribed', room })
  const stream = await openStream(t, `${url}/rooms/${room}/events`, { authorization: 'Bearer bob' })
  await stream.event({ event: 'subscribed' })
  const connection = alice.of('welcome')[0]!['connection']
  const { count, members } = await until(async () => { const list = await get(); return list.count === 3 && list })
  t.equal(count, 3)
  t.strictSame(members.find(({ user }: { user: string }) => user === 'alice'), { connection, user: 'alice', info: { name: 'ALICE' } })
  t.ok(members.some((member: { connection: string }) => Object.keys(member).join() === 'connection' && member.connection === nobody.of('welcome')[0]!['connection']))
  t.strictSame(await app.rooms.presence(room), members)
  alice.websocket.terminate()
  nobody.send({ type: 'unsubscribe', room })
  stream.close()
  await until(async () => (await get()).count === 0)
  const response = await fetch(`${url}/rooms/${room}/presence`, { headers: withKey })
  t.equal(response.headers.get('cache-control'), 'no-store')
})

test('joins and leaves, to who asked for them', async (t) => {
  const { url } = await startApp(t, { presence: true, authenticate, authorize: () => true })
  const room = newRoom()
  const watcher = await connect(t, url)
  watcher.send({ type: 'subscribe', room, presence: true })
  await watcher.frame({ type: 'subscribed', room })
  const other = await connect(t, url, `/rooms?room=${room}`)
  await other.frame({ type: 'subscribed', room })
  const alice = await connect(t, url, `/rooms?room=${room}`, ['fan-out.v1', 'bearer.alice'])
  const member = { connection: (await alice.frame({ type: 'welcome' }))['connection'], user: 'alice', info: { name: 'ALICE' } }
  t.strictSame(await watcher.frame({ type: 'join', member }), { type: 'join', room, member })
  alice.send({ type: 'unsubscribe', room })
  t.strictSame(await watcher.frame({ type: 'leave', member }), { type: 'leave', room, member })
  alice.send({ type: 'subscribe', room })
  await watcher.frame({ type: 'join', member }, 1)
  alice.websocket.terminate()
  await watcher.frame({ type: 'leave', member }, 1)
  watcher.send({ type: 'unsubscribe', room })
  await watcher.frame({ type: 'unsubscribed', room })
  const count = watcher.frames.length
  const late = await connect(t, url, `/rooms?room=${room}`)
  await late.frame({ type: 'subscribed' })
  watcher.send({ type: 'ping' })
  await watcher.frame({ type: 'pong' })
  t.equal(watcher.frames.length, count + 1)
  t.notOk(other.frames.some(({ type }) => type === 'join' || type === 'leave'))
  t.notOk(watcher.frames.some(({ member }) => member?.connection === watcher.of('welcome')[0]!['connection']), 'nobody is told of themselves')
})

test('where none is kept: 404, and an error', async (t) => {
  const { app, url } = await startApp(t)
  const response = await fetch(`${url}/rooms/a/presence`, { headers: withKey })
  t.equal(response.status, 404)
  t.match(await response.json(), { code: 'FAN_OUT_ERR_NO_PRESENCE', statusCode: 404 })
  t.equal((await fetch(`${url}/rooms/a/presence`)).status, 401, 'only to who may know')
  await t.rejects(app.rooms.presence('a'), { code: 'FAN_OUT_ERR_NO_PRESENCE' })
})

import type { FanOutOptions, Identity } from '../../index.js'
import { test } from 'tap'
import { connect, newRoom, openStream, startApp, until } from '../helpers.js'

/** Tokens are JSON of what they stand for: the user, how long from now, and what may be done. */
interface Token { user?: string, expiresIn?: number, may?: string[] }
const token = (value: Token): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const bearer = (value: Token): { headers: { authorization: string } } => ({ headers: { authorization: `Bearer ${token(value)}` } })

/** Rights stand with the request, as an app would keep them. */
function tokens (): Pick<FanOutOptions, 'authenticate' | 'authorize'> {
  const rights = new WeakMap<object, string[]>()
  return {
    async authenticate (request, text) {
      if (text === undefined) return null
      const { user, expiresIn, may = [] } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Token
      rights.set(request, may)
      return { ...(user !== undefined && { user }), ...(expiresIn !== undefined && { expiresAt: Date.now() + expiresIn }) } as Identity
    },
    authorize: ({ action, room, request }) => rights.get(request)?.includes(`${action} ${room}`) === true
  }
}

test('a token that runs out closes a WebSocket with 4401 and ends a stream', async (t) => {
  const { app, url } = await startApp(t, tokens())
  const room = newRoom()
  const may = [`subscribe ${room}`]
  const client = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'u', expiresIn: 400, may }))
  const { expiresAt } = await client.frame({ type: 'authenticated', user: 'u' })
  t.ok(expiresAt > Date.now() && expiresAt <= Date.now() + 400)
  await client.frame({ type: 'subscribed' })
  const stream = await openStream(t, `${url}/rooms/${room}/events`, bearer({ user: 'u', expiresIn: 400, may }).headers)
  await stream.event({ event: 'subscribed' })
  t.match(await client.close(), { code: 4401, reason: /expired/ })
  await until(() => stream.ended)
  await app.rooms.publish(room, 'late')
  await until(() => app.rooms.stats().subscriptions === 0)
  t.strictSame(client.of('message'), [])
  t.notMatch(stream.text, /late/)
})

test('with a token that has run out no frame is obeyed, in the second before the connection is closed for it either', async (t) => {
  const { app, url } = await startApp(t, { ...tokens(), clientPublish: true })
  const room = newRoom()
  await app.rooms.publish(room, 'secret')
  for (const type of ['subscribe', 'publish']) {
    const client = await connect(t, url, '/rooms', [], bearer({ user: 'u', expiresIn: 30, may: [`subscribe ${room}`, `publish ${room}`] }))
    const { expiresAt } = await client.frame({ type: 'authenticated' })
    await until(() => Date.now() > expiresAt)
    client.send({ type, room, since: 'earliest', data: 'late' })
    t.match(await client.close(), { code: 4401, reason: /expired/ })
    t.strictSame(client.frames.map(({ type }) => type), ['welcome', 'authenticated'])
  }
  t.equal((await app.rooms.history(room)).messages.length, 1)
})

test('renewal by an auth frame keeps the connection and its rooms', async (t) => {
  const { app, url } = await startApp(t, tokens())
  const room = newRoom()
  const may = [`subscribe ${room}`]
  const client = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'u', expiresIn: 700, may }))
  await client.frame({ type: 'subscribed' })
  const expires = (await client.frame({ type: 'authenticated' }))['expiresAt'] as number
  client.send({ type: 'auth', token: token({ user: 'u', expiresIn: 60_000, may }), ref: 1 })
  await client.frame({ type: 'authenticated', user: 'u', ref: 1 })
  await until(() => Date.now() > expires + 1_100, 'a tick after the first token has run out')
  await app.rooms.publish(room, 'on')
  await client.frame({ type: 'message', data: 'on' })
  t.equal(client.closed, undefined)
})

test('renewal asks again for each room: those denied now are ended, with nothing after', async (t) => {
  const { app, url } = await startApp(t, tokens())
  const [kept, lost] = [newRoom(), newRoom()]
  const client = await connect(t, url, `/rooms?room=${kept}&room=${lost}`, [], bearer({ user: 'u', may: [`subscribe ${kept}`, `subscribe ${lost}`] }))
  await client.frame({ type: 'subscribed', room: kept })
  await client.frame({ type: 'subscribed', room: lost })
  client.send({ type: 'auth', token: token({ user: 'u', may: [`subscribe ${kept}`] }) })
  t.match(await client.frame({ type: 'unsubscribed' }), { room: lost, code: 'FAN_OUT_ERR_FORBIDDEN', reason: /denied/ })
  await app.rooms.publish(lost, 1)
  await app.rooms.publish(kept, 2)
  await client.frame({ type: 'message', room: kept })
  t.strictSame(client.of('message', lost), [])
  client.send({ type: 'subscribe', room: lost, ref: 1 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_FORBIDDEN', ref: 1 })
  client.send({ type: 'subscribe', room: kept, ref: 2 })
  await client.frame({ type: 'error', code: 'FAN_OUT_ERR_ALREADY_SUBSCRIBED', ref: 2 })
})

test('renewal while a subscribe is being asked about: it stands or falls by the new token', async (t) => {
  const { authenticate } = tokens()
  const waiting: Array<() => void> = []
  let denied = false
  const { app, url } = await startApp(t, {
    authenticate: authenticate as NonNullable<typeof authenticate>,
    async authorize () {
      const answer = !denied
      await new Promise<void>((resolve) => waiting.push(resolve))
      return answer
    }
  })
  const room = newRoom()
  const client = await connect(t, url, '/rooms', [], bearer({ user: 'u' }))
  client.send({ type: 'subscribe', room, ref: 1 })
  await until(() => waiting.length === 1)
  denied = true
  client.send({ type: 'auth', token: token({ user: 'u' }), ref: 2 })
  await client.frame({ type: 'authenticated', ref: 2 })
  const answerAll = setInterval(() => { for (const answer of waiting.splice(0)) answer() }, 5)
  t.teardown(() => clearInterval(answerAll))
  await until(() => client.frames.some(({ type }) => type === 'error' || type === 'unsubscribed'), 'the end of the subscribe')
  await app.rooms.publish(room, 'secret')
  client.send({ type: 'ping', ref: 'end' })
  await client.frame({ type: 'pong', ref: 'end' })
  t.strictSame(client.of('message'), [])
  t.equal(app.rooms.stats().subscriptions, 0)
})

test('renewal asks again for the right to see who is there', async (t) => {
  const { url } = await startApp(t, { ...tokens(), presence: true })
  const room = newRoom()
  const may = [`subscribe ${room}`, `presence ${room}`]
  const client = await connect(t, url, '/rooms', [], bearer({ user: 'watcher', may }))
  client.send({ type: 'subscribe', room, presence: true })
  await client.frame({ type: 'subscribed' })
  const first = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'first', may }))
  await first.frame({ type: 'subscribed' })
  await client.frame({ type: 'join', room })
  client.send({ type: 'auth', token: token({ user: 'watcher', may: [`subscribe ${room}`] }), ref: 1 })
  await client.frame({ type: 'authenticated', ref: 1 })
  const second = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'second', may }))
  await second.frame({ type: 'subscribed' })
  client.send({ type: 'ping', ref: 'end' })
  await client.frame({ type: 'pong', ref: 'end' })
  t.strictSame(client.of('join').map(({ member }) => member.user), ['first'])
})

test('a token of another user, or of none, ends the connection with 4401', async (t) => {
  const { app, url } = await startApp(t, tokens())
  const room = newRoom()
  const may = [`subscribe ${room}`]
  for (const other of [{ user: 'mallory', may }, { may }]) {
    const client = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'alice', may }))
    await client.frame({ type: 'subscribed' })
    client.send({ type: 'auth', token: token(other) })
    t.match(await client.close(), { code: 4401, reason: /another user/ })
    t.equal(client.of('authenticated').length, 1)
  }
  const client = await connect(t, url, `/rooms?room=${room}`, [], bearer({ user: 'alice', may }))
  await client.frame({ type: 'subscribed' })
  client.send({ type: 'auth', token: 'not base64 of JSON' })
  t.match(await client.close(), { code: 4401, reason: /refused/ })
  await until(() => app.rooms.stats().subscriptions === 0)
})

test('an anonymous client becomes somebody', async (t) => {
  const { app, url } = await startApp(t, { authenticate: tokens().authenticate!, presence: true })
  const room = newRoom()
  const client = await connect(t, url, `/rooms?room=${room}`)
  await client.frame({ type: 'subscribed' })
  client.send({ type: 'auth', token: token({ user: 'late' }) })
  await client.frame({ type: 'authenticated', user: 'late' })
  await until(async () => (await app.rooms.presence(room))[0]?.user === 'late')
  t.equal((await app.rooms.presence(room)).length, 1)
  await app.rooms.disconnect({ user: 'late' }, 'go')
  t.strictSame(await client.close(), { code: 4403, reason: 'go' })
})

import { test } from 'tap'
import { connect, newRoom, openStream, startApp, until } from '../helpers.js'

test('a snapshot comes where there is no usable cursor, and after a gap', async (t) => {
  let state = 0
  const { app, url } = await startApp(t, { snapshot: (room) => room === 'none' ? undefined : { room, state }, history: { size: 3 } })
  const room = newRoom()
  const ids: string[] = []
  for (state = 1; state <= 5; state++) ids.push((await app.rooms.publish(room, state)).id)

  const plain = await connect(t, url, `/rooms?room=${room}`)
  t.strictSame(await plain.frame({ type: 'snapshot' }), { type: 'snapshot', room, id: ids[4], data: { room, state } })
  await app.rooms.publish(room, 'live')
  await plain.frame({ type: 'message', data: 'live' })
  t.strictSame(plain.frames.slice(1).map(({ type }) => type), ['subscribed', 'snapshot', 'message'])

  const usable = await connect(t, url, `/rooms?room=${room}&since=${ids[4]}`)
  await usable.frame({ type: 'message', data: 'live' })
  t.strictSame(usable.frames.slice(1).map(({ type }) => type), ['subscribed', 'message'], 'none with a usable cursor')

  const unusable = await connect(t, url, `/rooms?room=${room}&since=1-1`)
  await unusable.frame({ type: 'message', data: 'live' })
  t.strictSame(unusable.frames.slice(1, 4).map(({ type }) => type), ['subscribed', 'gap', 'snapshot'])
  t.equal(unusable.of('snapshot')[0]!['id'], unusable.of('gap')[0]!['id'], 'messages after its id follow')

  const none = await connect(t, url, '/rooms?room=none')
  await none.frame({ type: 'subscribed' })
  await app.rooms.publish('none', 1)
  await none.frame({ type: 'message' })
  t.strictSame(none.of('snapshot'), [])

  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  const event = await stream.event({ event: 'snapshot' })
  t.strictSame(JSON.parse(event.data), { room, state })
  t.match(event.id, /^\d+-6$/)
  const resumed = await openStream(t, `${url}/rooms/${room}/events`, { 'last-event-id': event.id! })
  t.match(JSON.parse((await resumed.event({ event: 'subscribed' })).data), { recovered: true })

  const events: unknown[] = []
  const subscription = await app.rooms.subscribe(room, (event) => { events.push(event) })
  await until(() => events.length > 0)
  t.strictSame(events, [{ type: 'snapshot', room, id: subscription.id, data: { room, state } }])
})

test('a slow snapshot holds nobody up, and messages after its id follow it', async (t) => {
  const answers: Array<(value: unknown) => void> = []
  const { app, url } = await startApp(t, { snapshot: async () => await new Promise((resolve) => answers.push(resolve)) })
  const room = newRoom()
  const other = await connect(t, url, `/rooms?room=${room}`)
  await until(() => answers.length === 1)
  await app.rooms.publish(room, 1)
  const client = await connect(t, url, `/rooms?room=${room}`)
  await until(() => answers.length === 2)
  await app.rooms.publish(room, 2)
  t.strictSame(client.of('message'), [])
  answers[1]!('two')
  await client.frame({ type: 'message', data: 2 })
  t.strictSame(client.frames.slice(1).map(({ type, data }) => [type, data]), [['subscribed', undefined], ['snapshot', 'two'], ['message', 2]])
  answers[0]!('one')
  await other.frame({ type: 'message', data: 2 })
  t.strictSame(other.frames.slice(1).map(({ type, data }) => [type, data]), [['subscribed', undefined], ['snapshot', 'one'], ['message', 1], ['message', 2]])
})

test('a snapshot that fails ends the subscription, saying so', async (t) => {
  const failures = [() => { throw new Error('no database') }, async () => await Promise.reject(new Error('no database')), () => ({ big: 1n }), () => { const round: Record<string, unknown> = {}; round['r'] = round; return round }]
  for (const snapshot of failures) {
    const { app, url } = await startApp(t, { snapshot, presence: true })
    const room = newRoom()
    const { id } = await app.rooms.publish(room, 1)
    const client = await connect(t, url, `/rooms?room=${room}`)
    t.match(await client.frame({ type: 'unsubscribed' }), { room, code: 'FAN_OUT_ERR_SNAPSHOT' })
    const stream = await openStream(t, `${url}/rooms/${room}/events`)
    await until(() => stream.ended)
    await app.rooms.publish(room, 2)
    t.notMatch(stream.text, /data: 2/)
    client.send({ type: 'subscribe', room, since: id })
    await client.frame({ type: 'message', data: 2 })
    t.equal(client.of('message').length, 1)
    await until(async () => (await app.rooms.presence(room)).length === 1)
    t.equal(app.rooms.stats().subscriptions, 1)
  }
})

test("the servers' own rooms have none: a snapshot that fails does not make the server deaf to commands", async (t) => {
  const asked: string[] = []
  const { app, url } = await startApp(t, { snapshot: (room) => { asked.push(room); throw new Error('no such room') }, authenticate: () => ({ user: 'u' }) })
  const room = newRoom()
  const { id } = await app.rooms.publish(room, 1)
  const client = await connect(t, url, `/rooms?room=${room}&since=${id}`)
  await client.frame({ type: 'subscribed' })
  await app.rooms.disconnect({ user: 'u' }, 'heard')
  t.strictSame(await client.close(), { code: 4403, reason: 'heard' })
  t.strictSame(asked, [])
})

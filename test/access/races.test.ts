import type { FanOutOptions, Identity } from '../../index.js'
import { test } from 'tap'
import { clientFrame, dial, handshake, openRaw } from '../hostile/raw.js'
import { connect, newRoom, startApp, until } from '../helpers.js'

/** A promise for each call of what it stands in for, to be settled by the test. */
class Gate<Value> {
  readonly calls: Array<{ resolve: (value: Value) => void, reject: (error: Error) => void }> = []
  wait = async (): Promise<Value> => await new Promise<Value>((resolve, reject) => { this.calls.push({ resolve, reject }) })
  async next (): Promise<{ resolve: (value: Value) => void, reject: (error: Error) => void }> {
    await until(() => this.calls.length > 0, 'a call')
    return this.calls.shift() as { resolve: (value: Value) => void, reject: (error: Error) => void }
  }
}

test("frames in the handshake's own packet wait for authenticate, and are obeyed then", async (t) => {
  const gate = new Gate<Identity>()
  const { app, url } = await startApp(t, { authenticate: gate.wait })
  const room = newRoom()
  await app.rooms.publish(room, 'before')
  const client = await dial(t, url)
  const frames = [{ type: 'subscribe', room, since: 'earliest', ref: 1 }, { type: 'ping', ref: 2 }].map((frame) => clientFrame(JSON.stringify(frame)))
  client.write(Buffer.concat([Buffer.from(handshake(url, '/rooms', { Authorization: 'Bearer x' })), ...frames]))
  const call = await gate.next()
  await client.message({ type: 'welcome' })
  await app.rooms.publish(room, 'meanwhile')
  t.equal(client.messages.length, 1)
  t.equal(app.rooms.stats().subscriptions, 0)
  call.resolve({ user: 'u' })
  await client.message({ type: 'message', data: 'meanwhile' })
  t.strictSame(client.messages.map(({ type, ref, data }) => [type, ref ?? data]), [
    ['welcome', undefined], ['authenticated', undefined], ['pong', 2], ['subscribed', 1], ['message', 'before'], ['message', 'meanwhile']
  ])
})

test("frames in the handshake's own packet see nothing where authenticate refuses", async (t) => {
  const gate = new Gate<Identity>()
  const { app, url } = await startApp(t, { authenticate: gate.wait, presence: true })
  const room = newRoom()
  await app.rooms.publish(room, 'secret')
  const client = await dial(t, url)
  client.write(Buffer.concat([
    Buffer.from(handshake(url, `/rooms?room=${room}&since=earliest`, { Authorization: 'Bearer x' })),
    clientFrame(JSON.stringify({ type: 'subscribe', room, since: 'earliest' })),
    clientFrame(JSON.stringify({ type: 'auth', token: 'y' })),
    clientFrame(JSON.stringify({ type: 'subscribe', room, since: 'earliest' }))
  ]))
  ;(await gate.next()).reject(new Error('no'))
  t.equal(await client.close(), 4401)
  t.strictSame(client.messages.map(({ type }) => type), ['welcome'])
  await until(() => app.rooms.stats().connections.websocket === 0)
  t.equal(app.rooms.stats().subscriptions, 0)
  t.strictSame(await app.rooms.presence(room), [])
  t.equal(gate.calls.length, 0, 'the auth frame came too late')
})

test('the frames that wait are few: a client that authenticate keeps waiting is not read', async (t) => {
  const gate = new Gate<Identity>()
  const { url } = await startApp(t, { authenticate: gate.wait, limits: { framesPerSecond: 10_000 } })
  const client = await openRaw(t, url, '/rooms', { Authorization: 'Bearer x' })
  const call = await gate.next()
  const frame = clientFrame(JSON.stringify({ type: 'ping', ref: 'x'.repeat(60) }))
  const many = Buffer.concat(Array.from({ length: 2_000 }, () => frame))
  let stuck = false
  for (let i = 0; i < 400 && !stuck; i++) stuck = !client.socket.write(many)
  t.ok(stuck, 'the kernel takes no more')
  call.resolve({ user: 'u' })
  // What was heaped up is then obeyed, or found to be too much; never lost in silence.
  await until(() => client.closeCode !== undefined || client.messages.length > 2)
})

for (const [what, options] of Object.entries({ authenticate: 'authenticate', authorize: 'authorize' })) {
  test(`a socket that is reset during ${what} leaves nothing behind`, async (t) => {
    const gate = new Gate<unknown>()
    const { app, url } = await startApp(t, { [options]: gate.wait, presence: true, clientPublish: true, limits: { firstFrame: 300 } } as FanOutOptions)
    const room = newRoom()
    const value = what === 'authenticate' ? { user: 'u' } : true
    const open = async (): Promise<void> => {
      const client = await openRaw(t, url, `/rooms?room=${room}`, { Authorization: 'Bearer x' })
      await until(() => gate.calls.length > 0)
      client.send({ type: 'publish', room, data: 'from the dead' })
      client.socket.resetAndDestroy()
    }
    await open()
    ;(await gate.next()).resolve(value)
    await until(() => app.rooms.stats().connections.websocket === 0)
    await open()
    ;(await gate.next()).reject(new Error('no'))
    await until(() => app.rooms.stats().connections.websocket === 0)
    // One that never answers, too.
    await open()
    if (what === 'authenticate') await until(() => app.rooms.stats().connections.websocket === 0)
    for (const { resolve } of gate.calls.splice(0)) resolve(value)
    await until(() => app.rooms.stats().connections.websocket === 0)

    const stream = await dial(t, url)
    stream.write(`GET /rooms/${room}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n`)
    await until(() => gate.calls.length > 0)
    stream.socket.resetAndDestroy()
    await until(() => stream.ended)
    ;(await gate.next()).resolve(value)
    await until(() => app.rooms.stats().connections.events === 0 && app.rooms.stats().subscriptions === 0)
    t.strictSame(await app.rooms.presence(room), [])
    t.strictSame((await app.rooms.history(room)).messages, [])
  })
}

test('a right withdrawn while the app is asked for it ends the subscribe', async (t) => {
  const gate = new Gate<boolean>()
  const [room, marker] = [newRoom(), newRoom()]
  const { app, url } = await startApp(t, { authenticate: () => ({ user: 'u' }), authorize: (context) => context.room === marker || gate.wait() })
  const client = await connect(t, url, `/rooms?room=${marker}`)
  await client.frame({ type: 'subscribed', room: marker })
  client.send({ type: 'subscribe', room, ref: 1 })
  const call = await gate.next()
  await app.rooms.unsubscribe(room, { user: 'u' }, 'banned')
  // Commands are obeyed in order, a little after they are sent.
  await app.rooms.unsubscribe(marker, { user: 'u' })
  await client.frame({ type: 'unsubscribed', room: marker })
  call.resolve(true)
  await client.frame({ type: 'error', room, ref: 1, code: 'FAN_OUT_ERR_CANCELLED' })
  await client.frame({ type: 'unsubscribed', room, reason: 'banned', code: 'FAN_OUT_ERR_UNSUBSCRIBED' })
  await app.rooms.publish(room, 'secret')
  client.send({ type: 'ping' })
  await client.frame({ type: 'pong' })
  t.strictSame(client.of('subscribed', room), [])
  t.strictSame(client.of('message'), [])
  t.equal(app.rooms.stats().subscriptions, 0)
})

const LARGE = 'x'.repeat(16 * 1024)

for (const how of ['unsubscribe', 'disconnect'] as const) {
  test(`a right withdrawn during a replay, by ${how}: nothing comes after`, async (t) => {
    const { app, url } = await startApp(t, { authenticate: (_request, token) => ({ user: token! }), history: { size: 2_000, bytes: 64 * 1024 * 1024 } })
    const room = newRoom()
    for (let i = 0; i < 2_000; i += 100) await app.rooms.publishMany(Array.from({ length: 100 }, (_, j) => ({ room, data: { i: i + j, LARGE } })))
    const client = await openRaw(t, url, '/rooms', { Authorization: 'Bearer slow' })
    client.socket.pause()
    client.send({ type: 'subscribe', room, since: 'earliest' })
    await until(() => app.rooms.stats().subscriptions === 1)
    if (how === 'unsubscribe') await app.rooms.unsubscribe(room, { user: 'slow' }, 'out')
    else await app.rooms.disconnect({ user: 'slow' }, 'out')
    await until(() => app.rooms.stats().subscriptions === 0)
    await app.rooms.publish(room, 'after')
    client.socket.resume()
    if (how === 'disconnect') {
      t.equal(await client.close(), 4403)
    } else {
      await client.message({ type: 'unsubscribed', room, reason: 'out' })
      client.send({ type: 'ping', ref: 'end' })
      await client.message({ type: 'pong', ref: 'end' })
      const types = client.messages.map(({ type }) => type)
      t.strictSame(types.slice(types.indexOf('unsubscribed')), ['unsubscribed', 'pong'])
    }
    const messages = client.messages.filter(({ type }) => type === 'message')
    t.ok(messages.length < 2_000, `${messages.length} had been replayed`)
    t.strictSame(messages.map(({ data }) => data.i), messages.map((_, i) => i))
    await until(() => how === 'unsubscribe' || app.rooms.stats().connections.websocket === 0)
  })
}

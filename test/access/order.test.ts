import { test } from 'tap'
import { connect, newRoom, startApp, until } from '../helpers.js'

/** Answers true, after a while of its own for each call. */
async function hesitant (): Promise<boolean> {
  for (let turns = Math.floor(Math.random() * 4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
  return true
}

test('unsubscribe cancels a pending subscribe', async (t) => {
  let answer!: (value: boolean) => void
  const { app, url } = await startApp(t, { authorize: async () => await new Promise((resolve) => { answer = resolve }), presence: true })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, ref: 1 })
  await until(() => answer)
  client.send({ type: 'unsubscribe', room, ref: 2 })
  client.send({ type: 'ping', ref: 3 })
  await client.frame({ type: 'pong', ref: 3 })
  answer(true)
  await client.frame({ type: 'unsubscribed', room, ref: 2 })
  t.strictSame(client.frames.slice(2).map(({ type, ref, code }) => [type, ref, code]), [['error', 1, 'FAN_OUT_ERR_CANCELLED'], ['unsubscribed', 2, 'FAN_OUT_UNSUBSCRIBED']])
  t.equal(app.rooms.stats().subscriptions, 0)
  t.strictSame(await app.rooms.presence(room), [])
  client.send({ type: 'unsubscribe', room, ref: 4 })
  await client.frame({ type: 'unsubscribed', room, ref: 4 })
})

test('a second subscribe is refused, and the first goes on', async (t) => {
  const { app, url } = await startApp(t, { authorize: hesitant })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, ref: 1 })
  client.send({ type: 'subscribe', room, ref: 2 })
  t.match(await client.frame({ type: 'error', ref: 2 }), { code: 'FAN_OUT_ERR_ALREADY_SUBSCRIBED', room })
  await client.frame({ type: 'subscribed', ref: 1 })
  client.send({ type: 'subscribe', room, since: 'earliest', ref: 3 })
  await client.frame({ type: 'error', ref: 3, code: 'FAN_OUT_ERR_ALREADY_SUBSCRIBED' })
  await app.rooms.publish(room, 1)
  await client.frame({ type: 'message', data: 1 })
  t.equal(client.of('message').length, 1)
  t.equal(app.rooms.stats().subscriptions, 1)
})

test('no frame of a room comes between unsubscribed and the next subscribed', async (t) => {
  const { app, url } = await startApp(t, { authorize: hesitant, presence: true, limits: { framesPerSecond: 100_000 } })
  const room = newRoom()
  const other = await connect(t, url)
  const client = await connect(t, url)
  const stop = new AbortController()
  const publisher = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      await app.rooms.publish(room, i)
      other.send({ type: i % 2 === 0 ? 'subscribe' : 'unsubscribe', room })
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let i = 0; i < 300; i++) {
    client.send({ type: 'subscribe', room, ...(i % 3 === 0 ? { since: 'earliest' } : i % 3 === 1 ? { replay: 5 } : {}), presence: true, ref: i })
    if (i % 4 === 0) await client.frame({ ref: i })
    client.send({ type: 'unsubscribe', room, ref: `u${i}` })
    if (i % 5 === 0) await client.frame({ ref: `u${i}` })
  }
  client.send({ type: 'subscribe', room, ref: 'last' })
  await client.frame({ type: 'subscribed', ref: 'last' })
  stop.abort()
  await publisher
  const end = await app.rooms.publish(room, 'end')
  await client.frame({ type: 'message', data: 'end' })

  let subscribed = false
  let last = ''
  const wrong: unknown[] = []
  for (const frame of client.frames.filter((frame) => frame['room'] === room && frame.type !== 'error')) {
    if (frame.type === 'subscribed') {
      if (subscribed) wrong.push(frame)
      subscribed = true
      last = frame['id'] as string
    } else if (!subscribed && frame.type !== 'unsubscribed') {
      wrong.push(frame)
    } else if (frame.type === 'unsubscribed') {
      subscribed = false
    } else if (frame.type === 'message') {
      // In one epoch, and with none missing after `subscribed`.
      const [expected, got] = [last, frame['id'] as string].map((id) => Number(id.split('-')[1]))
      if (got !== expected! + 1) wrong.push({ last, frame })
      last = frame['id'] as string
    }
  }
  t.strictSame(wrong, [])
  t.equal(last, end.id)
  t.equal(client.of('unsubscribed').length, 300, 'each unsubscribe is answered once')
  t.equal(client.frames.filter(({ type, code }) => type === 'subscribed' || code === 'FAN_OUT_ERR_CANCELLED').length, 301, 'and each subscribe')
})

test('frames for one room are obeyed in order; another room does not wait for them', async (t) => {
  const waiting: Array<() => void> = []
  const { app, url } = await startApp(t, {
    clientPublish: true,
    authorize: async ({ room, action }) => {
      if (room === 'slow' && action === 'subscribe') await new Promise<void>((resolve) => waiting.push(resolve))
      return true
    }
  })
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room: 'slow', ref: 1 })
  for (let i = 2; i < 12; i++) client.send({ type: 'publish', room: 'slow', data: i, ref: i })
  client.send({ type: 'unsubscribe', room: 'slow', ref: 12 })
  client.send({ type: 'subscribe', room: 'fast', ref: 13 })
  client.send({ type: 'publish', room: 'fast', data: 1, ref: 14 })
  await client.frame({ ref: 14 })
  t.strictSame(client.frames.filter(({ ref }) => ref !== undefined).map(({ ref }) => ref), [13, 14])
  waiting[0]!()
  await client.frame({ ref: 12 })
  t.strictSame(client.frames.filter(({ ref }) => ref !== undefined).map(({ ref }) => ref), [13, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  t.equal(app.rooms.stats().subscriptions, 1)
  const { messages } = await app.rooms.history('slow')
  t.strictSame(messages.map(({ data }) => data), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
})

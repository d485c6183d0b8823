import { test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'

test('a subscription in the process takes any number of messages of one turn', async (t) => {
  const { app } = await startApp(t, { history: { size: 200_000, bytes: 1e9 } })
  const room = newRoom()
  const live: unknown[] = []
  await app.rooms.subscribe(room, (event) => { if (event.type === 'message') live.push(event.data) })
  await app.rooms.publishMany(Array.from({ length: 150_000 }, (_, n) => ({ room, data: n })))
  await until(() => live.length === 150_000)
  t.ok(live.every((data, n) => data === n))
  let replayed = 0
  await app.rooms.subscribe(room, { since: 'earliest' }, () => { replayed++ })
  await until(() => replayed === 150_000)
})

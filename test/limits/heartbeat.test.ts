import { test } from 'tap'
import { connect, newRoom, startApp, until } from '../helpers.js'
import { clientFrame, openRaw } from '../hostile/raw.js'

test('a peer that answers no ping is cut off, a living one is not', async (t) => {
  const { app, url } = await startApp(t, { heartbeat: { interval: 500, timeout: 500 } })
  const room = newRoom()
  const started = performance.now()
  const dead = await openRaw(t, url, `/rooms?room=${room}`)
  const talking = await openRaw(t, url, `/rooms?room=${room}`)
  const living = await connect(t, url, `/rooms?room=${room}`)
  // One that answers no ping, but sends something of its own.
  const timer = setInterval(() => talking.write(clientFrame('{"type":"ping"}')), 200)
  t.teardown(() => clearInterval(timer))
  await until(() => dead.ended)
  const after = performance.now() - started
  t.ok(after >= 1_000 && after < 10_000, `after ${Math.round(after)} ms`)
  t.ok(dead.frames.some(({ opcode }) => opcode === 9), 'it was pinged')
  await until(() => app.rooms.stats().connections.websocket === 2)
  // As long again.
  await until(() => performance.now() - started > after + 2_500)
  t.equal(living.closed, undefined)
  t.equal(talking.ended, false)
  t.equal(app.rooms.stats().subscriptions, 2)
})

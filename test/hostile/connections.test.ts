import { test } from 'tap'
import { connect, startApp, until } from '../helpers.js'
import { holdings } from './bystander.js'
import { dial, openRaw } from './raw.js'

/** A question that the app answers when it is told to. */
class Door {
  readonly asked: Array<(answer: boolean) => void> = []
  ask = (): Promise<boolean> => new Promise((resolve) => { this.asked.push(resolve) })
  open (): void {
    for (const answer of this.asked.splice(0)) answer(true)
  }
}

test('a reset while the app is asked leaves nothing behind', async (t) => {
  const rejections: unknown[] = []
  const listener = (error: unknown): void => { rejections.push(error) }
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const door = new Door()
  const { app, url } = await startApp(t, {
    linger: 0,
    presence: true,
    clientPublish: true,
    authenticate: async (_request, token) => token === 'slow' && await door.ask() ? { user: 'u' } : null,
    authorize: async ({ room }) => room?.startsWith('slow') === true ? await door.ask() : true
  })
  const settled = holdings(app)
  const publish = { type: 'publish', room: 'other', data: 1 }

  const cases: Array<[string, string, object[], Record<string, string>?]> = [
    ['authenticate, with rooms in the URL', '/rooms?room=a&room=b', [], { authorization: 'Bearer slow' }],
    ['authenticate, with frames that wait', '/rooms', [{ type: 'subscribe', room: 'a' }, publish], { authorization: 'Bearer slow' }],
    ['authenticate by an auth frame, with more behind it', '/rooms', [{ type: 'auth', token: 'slow' }, { type: 'subscribe', room: 'c' }]],
    ['authorize of a subscribe', '/rooms', [{ type: 'subscribe', room: 'slow' }, { type: 'unsubscribe', room: 'slow' }, { type: 'subscribe', room: 'slow' }]],
    ['authorize of a subscribe with presence', '/rooms?room=slow1', [{ type: 'subscribe', room: 'slow2', presence: true }]],
    ['authorize of a publish', '/rooms', [{ type: 'publish', room: 'slow', data: 1 }, { type: 'subscribe', room: 'slow' }]]
  ]
  for (const [name, path, frames, headers] of cases) {
    const client = await openRaw(t, url, path, headers)
    for (const frame of frames) client.send(frame)
    await until(() => door.asked.length > 0, name)
    client.socket.resetAndDestroy()
    await until(() => app.rooms.stats().connections.websocket === 0, `${name}: the server has seen the reset`)
    door.open()
    await new Promise(setImmediate)
    door.open()
    await until(() => app.rooms.stats().subscriptions === 0, `${name}: no subscription is left`)
  }

  for (const path of ['/rooms/slow/events', '/rooms/slow/history', '/rooms/a/events']) {
    const client = await dial(t, url)
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${path.includes('/a/') ? 'Authorization: Bearer slow\r\n' : ''}\r\n`)
    await until(() => door.asked.length > 0, path)
    client.socket.resetAndDestroy()
    const seen = await connect(t, url) // by the time it is welcome, the server has seen the reset
    await seen.frame({ type: 'welcome' })
    seen.websocket.close()
    await seen.close()
    door.open()
    await new Promise(setImmediate)
    door.open()
    await until(() => app.rooms.stats().subscriptions === 0, `${path}: no subscription is left`)
  }
  await settled(t)
  t.same(rejections, [])
})

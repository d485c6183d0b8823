import type { Test } from 'tap'
import type { RawClient } from './raw.js'
import { test } from 'tap'
import { connect, newRoom, until } from '../helpers.js'
import { ChildServer } from './child.js'
import { dial, handshake } from './raw.js'

const CLIENTS = Number(process.env['CROWD'] ?? 5_000)
const MESSAGES = 100

/** So many connections, then each asks for its upgrade at once. */
async function crowd (t: Test, url: string, paths: string[]): Promise<RawClient[]> {
  const clients: RawClient[] = []
  // A listen queue holds but 511 at a time.
  for (let at = 0; at < paths.length; at += 250) clients.push(...await Promise.all(paths.slice(at, at + 250).map(() => dial(t, url))))
  for (const [i, client] of clients.entries()) client.write(handshake(url, paths[i]))
  return clients
}

test(`${CLIENTS} clients come back at once`, { timeout: 60_000 }, async (t) => {
  const server = await ChildServer.start(t)
  const room = newRoom()
  await server.publish(room, MESSAGES, 10)
  const { messages } = await (await fetch(`${server.url}/rooms/${room}/history`)).json() as { messages: Array<{ id: string }> }
  const bystander = await connect(t, server.url, '/rooms?room=other')
  await bystander.frame({ type: 'subscribed' })

  const reads = await server.reads()
  const paths = Array.from({ length: CLIENTS }, (_, i) => `/rooms?room=${room}&since=${messages[(i * 37) % MESSAGES]?.id}`)
  const started = performance.now()
  const clients = await crowd(t, server.url, paths)
  // Others are served meanwhile.
  await server.publish('other', 20, 10)
  await until(() => bystander.of('message').length === 20)
  const bystanderTook = performance.now() - started
  const expected = (i: number): number => MESSAGES - 1 - (i * 37) % MESSAGES
  await until(() => clients.every((client, i) => client.frames.length >= 2 + expected(i)), 'the replay of each', 40_000)
  const took = performance.now() - started
  const count = await server.reads() - reads
  t.comment(`${CLIENTS} clients were served in ${Math.round(took)} ms (another within ${Math.round(bystanderTook)}), with ${count} reads of the window`)
  t.ok(count <= 5, `${count} reads`)

  await server.publish(room, 1, 10)
  await until(() => clients.every((client, i) => client.frames.length >= 3 + expected(i)), 'a live message for each', 20_000)
  let wrong = 0
  for (const [i, client] of clients.entries()) {
    const got = client.messages.map(({ type, recovered, data }) => type === 'message' ? data.n : type === 'subscribed' ? recovered : type)
    const right = ['welcome', true, ...Array.from({ length: expected(i) }, (_, n) => MESSAGES - expected(i) + n), 0]
    if (JSON.stringify(got) !== JSON.stringify(right)) wrong++
  }
  t.equal(wrong, 0, 'each got what it had missed, in order, once, and goes on live')

  for (const client of clients) client.socket.resetAndDestroy()
  await until(async () => (await server.stats()).subscriptions === 1, 'all are gone', 20_000)
})

import type { Test } from 'tap'
import type { Contestant, Running } from '../../bench/contestants/contestant.js'
import type { RawClient } from '../hostile/raw.js'
import { test } from 'tap'
import { centrifugo } from '../../bench/contestants/centrifugo.js'
import { socketIo, socketIoWithRecovery } from '../../bench/contestants/socket-io.js'
import { newRoom, until } from '../helpers.js'
import { dial, handshake } from '../hostile/raw.js'
import { RedisServer } from '../redis-server.js'

function text (client: RawClient): string {
  return client.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => payload.toString()).join('\n')
}

/** The messages received, in their order, by the number that each carries. */
function received (client: RawClient): number[] {
  return [...text(client).matchAll(/"n":(\d+)/g)].map(([, n]) => Number(n))
}

async function subscribe (t: Test, url: string, { socket }: Running, rooms: string[]): Promise<RawClient> {
  const client = await dial(t, url)
  const { path, frames } = socket.enter(rooms)
  client.write(handshake(url, path, socket.headers))
  await until(() => client.head.startsWith('HTTP/1.1 101'), 'the upgrade')
  for (const frame of frames) client.send(frame)
  await until(() => text(client).split(socket.joined).length === rooms.length + 1, `one ${socket.joined} for each of ${rooms.length} rooms`)
  return client
}

async function publish (url: string, running: Running, room: string, numbers: number[]): Promise<void> {
  const { path, headers, body } = running.publish(room, numbers.map((n) => JSON.stringify({ n, text: 'x'.repeat(100) })))
  const answer = await fetch(url + path, { method: 'POST', headers, body })
  if (!answer.ok || /error/.test(await answer.text())) throw new Error(`${path} answers ${answer.status}`)
}

async function delivers (t: Test, contestant: Contestant, redis?: string): Promise<void> {
  const running = await contestant.start(redis === undefined ? {} : { redis, servers: 2 })
  t.teardown(async () => await running.stop())
  t.equal(running.pids.length, running.urls.length, 'a process each')

  const [busy, quiet] = [newRoom(), newRoom()]
  const inBoth = await Promise.all(running.urls.map(async (url) => await subscribe(t, url, running, [quiet, busy])))
  const outside = await Promise.all(running.urls.map(async (url) => await subscribe(t, url, running, [quiet])))

  const [first] = running.urls as [string]
  const batch = Array.from({ length: 40 }, (_, n) => n)
  await publish(first, running, busy, batch)
  await until(() => inBoth.every((client) => received(client).length >= batch.length), 'the batch')
  // What follows the batch would stand behind what came twice, or where it should not.
  await publish(first, running, busy, [100])
  await until(() => inBoth.every((client) => received(client).includes(100)), 'a message by itself')
  await publish(first, running, quiet, [200])
  await until(() => [...inBoth, ...outside].every((client) => received(client).includes(200)), 'a message in the other room')
  for (const client of inBoth) t.same(received(client), [...batch, 100, 200], 'each once, in order')
  for (const client of outside) t.same(received(client), [200], 'of its own room only')
}

// Centrifugo is built by `node bench/centrifugo.mjs`, where it is wanted.
for (const contestant of [socketIo, socketIoWithRecovery, ...centrifugo.available ? [centrifugo] : []]) {
  test(`${contestant.name} in memory`, async (t) => await delivers(t, contestant))

  test(`two servers of ${contestant.name} on one Redis`, async (t) => await delivers(t, contestant, (await RedisServer.start(t)).url))
}

test('what Centrifugo needs is said where it is not there', async (t) => {
  const { CENTRIFUGO } = process.env
  t.teardown(() => {
    delete process.env['CENTRIFUGO']
    if (CENTRIFUGO !== undefined) process.env['CENTRIFUGO'] = CENTRIFUGO
  })
  process.env['CENTRIFUGO'] = '/nowhere/centrifugo'
  t.notOk(centrifugo.available)
  await t.rejects(centrifugo.start({}), /node bench\/centrifugo\.mjs/)
})

test('a server that cannot start says why, and leaves nothing behind', async (t) => {
  await t.rejects(socketIo.start({ redis: 'redis://127.0.0.1:1', servers: 2 }), /ended with 1: .*ECONNREFUSED/s)
})

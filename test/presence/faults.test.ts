import type { Test } from 'tap'
import type { Member } from '../../index.js'
import type { Client } from '../helpers.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Proxy } from '../faults/proxy.js'
import { connect, newRoom, startApp, until, withKey } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { onEach } from './each.js'

const options = { presence: true, authorize: () => true as const, brokerOptions: { publishTimeout: 2_000 } }

async function subscribe (t: Test, url: string, room: string, presence = false): Promise<Client> {
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room, presence })
  await client.frame({ type: 'subscribed' })
  return client
}

const memberOf = (client: Client): Member => ({ connection: client.of('welcome')[0]!['connection'] })

onEach('a server that is killed: its members leave, and the list is quick again', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const { app, url } = await startApp(t, { ...options, broker: urlOf(redis) })
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('server.ts', import.meta.url)), urlOf(redis)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [childUrl] = await once(child, 'message') as [string]
  const room = newRoom()
  const watcher = await subscribe(t, url, room, true)
  const clients = await Promise.all(Array.from({ length: 20 }, () => subscribe(t, childUrl, room)))
  await until(() => watcher.of('join').length === 20)
  t.equal((await app.rooms.presence(room)).length, 21)

  child.kill('SIGKILL')
  const killed = performance.now()
  await until(() => clients.every(({ closed }) => closed !== undefined))
  t.strictSame(await app.rooms.presence(room), [memberOf(watcher)], 'who does not answer is not in the list')
  await until(() => watcher.of('leave').length === 20, 'the leaves', 25_000)
  const took = performance.now() - killed
  t.comment(`the leaves came after ${Math.round(took / 1_000)} s`)
  t.ok(took > 8_000, 'not for a short silence')
  const asked = performance.now()
  t.equal((await app.rooms.presence(room)).length, 1)
  t.ok(performance.now() - asked < 900, 'nobody is waited for any more')
  t.strictSame(new Set(watcher.of('leave').map(({ member }) => member.connection)), new Set(clients.map((client) => memberOf(client).connection)), 'each once')
})

onEach('the broker is away: 503, and all is well again after', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const proxy = await Proxy.start(t, redis.port)
  const [a, b] = await Promise.all([proxy, redis].map(urlOf).map((broker) => startApp(t, { ...options, broker }))) as [any, any]
  const room = newRoom()
  const [watcher, other] = [await subscribe(t, a.url, room, true), await subscribe(t, b.url, room, true)]
  await other.frame({ type: 'subscribed' })
  const leaver = await subscribe(t, b.url, room)
  await watcher.frame({ type: 'join', member: memberOf(leaver) })

  proxy.refuse(true)
  const asked = performance.now()
  const response = await fetch(`${a.url}/rooms/${room}/presence`, { headers: withKey })
  t.equal(response.status, 503)
  t.match(response.headers.get('retry-after'), /^\d+$/)
  t.match(await response.json(), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
  t.ok(performance.now() - asked < 2_000 + 3_000, 'the publish timeout')
  await Promise.all([1, 2].map(() => t.rejects(a.app.rooms.presence(room), { code: 'FAN_OUT_ERR_BROKER_AWAY' })))
  // Meanwhile one leaves and one comes, on both sides.
  leaver.websocket.terminate()
  const onA = await subscribe(t, a.url, room)
  await watcher.frame({ type: 'join', member: memberOf(onA) })
  const onB = await subscribe(t, b.url, room)
  await other.frame({ type: 'join', member: memberOf(onB) })

  proxy.refuse(false)
  await other.frame({ type: 'join', member: memberOf(onA) })
  await watcher.frame({ type: 'join', member: memberOf(onB) })
  await watcher.frame({ type: 'leave', member: memberOf(leaver) })
  const sorted = (list: Member[]): string => list.map(({ connection }) => connection).sort().join()
  for (const { app } of [a, b]) await until(async () => sorted(await app.rooms.presence(room)) === sorted([watcher, other, onA, onB].map(memberOf)), 'the list')
})

onEach('a server that hears nothing for a while takes nobody for dead, and learns what it has missed', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const proxy = await Proxy.start(t, redis.port)
  const [a, b] = await Promise.all([proxy, redis].map(urlOf).map((broker) => startApp(t, { ...options, broker }))) as [any, any]
  const room = newRoom()
  const watcher = await subscribe(t, a.url, room, true)
  const [stays, leaves] = [await subscribe(t, b.url, room), await subscribe(t, b.url, room)]
  await watcher.frame({ type: 'join', member: memberOf(leaves) })
  proxy.stall()
  leaves.websocket.terminate()
  const comes = await subscribe(t, b.url, room)
  // Long enough for the other to have said that it is alive several times, in vain.
  const spy = redis.admin.duplicate()
  t.teardown(() => spy.disconnect())
  let beats = 0
  spy.on('pmessage', (_, __, payload: string) => { if (payload.includes('"do":"alive"')) beats++ })
  await spy.psubscribe('*fan-out:1:servers*')
  await until(() => beats > 3, 'four heartbeats of the other', 30_000)
  proxy.flow()
  await watcher.frame({ type: 'leave', member: memberOf(leaves) })
  await watcher.frame({ type: 'join', member: memberOf(comes) })
  t.notOk(watcher.of('leave').some(({ member }) => member.connection === memberOf(stays).connection))
  t.equal((await a.app.rooms.presence(room)).length, 3)
})

onEach('closing is not held up by a broker that is away', async (t, urlOf) => {
  const redis = await RedisServer.start(t)
  const proxy = await Proxy.start(t, redis.port)
  const { app } = await startApp(t, { ...options, broker: urlOf(proxy) })
  proxy.stall()
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 4_500)
})

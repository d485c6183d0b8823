import tap, { test } from 'tap'
import type { Wishes } from './contract/server.js'
import { readFileSync } from 'node:fs'
import { Cluster } from 'ioredis'
import { RedisBroker } from '../../lib/brokers/redis/redis.js'
import { connect, newRoom, startApp, until } from '../helpers.js'
import { RedisCluster } from '../redis-cluster.js'
import { freePort } from '../redis-server.js'
import { brokerContract } from './contract.js'

const cluster = await RedisCluster.start(tap)
const given = new Cluster(cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port })), { lazyConnect: true, redisOptions: { keyPrefix: 'app:' } })

const broker = ({ size, idempotencyTtl }: Wishes, client = given, timeout = 5_000): RedisBroker => new RedisBroker({
  client,
  keyPrefix: 'contract',
  history: { size, maxAge: 300_000, bytes: 4 * 1024 * 1024 },
  idempotencyTtl,
  timeout
})

await brokerContract({
  test,
  name: 'redis cluster',
  create: (_, wishes) => broker(wishes),
  unreachable: async (_, wishes) => broker(wishes, new Cluster([{ host: '127.0.0.1', port: await freePort() }], { lazyConnect: true }), 300)
})

test('the URL of a Cluster\'s node says what is missing', async (t) => {
  await t.rejects(startApp(t, { broker: cluster.nodes[0]!.url }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /\?cluster=true/ })
})

test('a prefix that would spread a room over the slots is refused', async (t) => {
  for (const keyPrefix of ['{}', 'a{']) {
    await t.rejects(startApp(t, { broker: cluster.url, brokerOptions: { keyPrefix } }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /braces/ })
  }
  const { app } = await startApp(t, { broker: cluster.url, brokerOptions: { keyPrefix: 'all-in-{one}-slot' } })
  t.match(await app.rooms.publish(newRoom(), 1), { duplicate: false })
})

test('the keys of a room are in one slot, whatever it is called', async (t) => {
  const { app } = await startApp(t, { broker: cluster.url })
  for (const name of ['{', '}', '{}', '{a}b', 'a}{b', '%7B', '🂡{x}']) {
    const room = `${newRoom()}${name}`
    t.match(await app.rooms.publish(room, 1, { idempotencyKey: 'k' }), { room, duplicate: false })
    t.equal((await app.rooms.history(room)).messages.length, 1)
  }
})

test('the rights that the documentation names are enough', async (t) => {
  const documentation = readFileSync(new URL('../../docs/brokers/redis.md', import.meta.url), 'utf8')
  const commands = [...documentation.matchAll(/^ACL (SETUSER[^`]*)```/gm)].map(([, command]) => command!.trim().split(/\s+/))
  t.equal(commands.length, 2)
  for (const { admin } of cluster.nodes) for (const command of commands) await admin.call('ACL', ...command)
  const { app, url } = await startApp(t, { broker: cluster.url.replace('//', '//fan-out:secret@') })
  const room = newRoom()
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room })
  await client.frame({ type: 'subscribed' })
  await app.rooms.publish(room, 1)
  await client.frame({ type: 'message', data: 1 })
  const key = `fan-out:1:{${room}}:m`
  const from = await cluster.primaryOf(key)
  await cluster.moveSlot(key, cluster.nodes.slice(0, 3).find((node) => node !== from)!)
  await app.rooms.publish(room, 2)
  await client.frame({ type: 'message', data: 2 })
  t.equal((await app.rooms.history(room)).messages.length, 2)
  for (const { admin } of cluster.nodes) t.strictSame(await admin.call('ACL', 'LOG'), [])
})

test('a node sends a server the rooms that it wants, as long as it wants them', async (t) => {
  const { app, url } = await startApp(t, { broker: cluster.url, linger: 0 })
  const room = newRoom()
  const channels = async (): Promise<string[]> => (await Promise.all(cluster.nodes.map(async ({ admin }) => await admin.call('PUBSUB', 'SHARDCHANNELS', `*{${room}}*`) as string[]))).flat()
  await app.rooms.publish(room, 1)
  t.strictSame(await channels(), [])
  const client = await connect(t, url)
  client.send({ type: 'subscribe', room })
  await client.frame({ type: 'subscribed' })
  t.equal((await channels()).length, 1)
  client.send({ type: 'unsubscribe', room })
  await until(async () => (await channels()).length === 0)
})

test('publishes wait for replicas, on whichever node', async (t) => {
  const { app } = await startApp(t, { broker: cluster.url, brokerOptions: { replicas: 1 } })
  const rooms = Array.from({ length: 12 }, newRoom)
  await Promise.all(rooms.flatMap((room) => [1, 2, 3].map(async (data) => await app.rooms.publish(room, data))))
  for (const room of rooms) {
    const key = `fan-out:1:{${room}}:s`
    const replica = await cluster.replicaOf(await cluster.primaryOf(key))
    await replica.admin.readonly()
    t.equal(await replica.admin.xlen(key), 3, 'it was there when it was acknowledged')
  }
})

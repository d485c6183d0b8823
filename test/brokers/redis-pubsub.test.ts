import type { ContractOptions, Wishes } from './contract/server.js'
import { readFile } from 'node:fs/promises'
import tap, { test } from 'tap'
import { NumberedBroker } from '../../lib/brokers/numbered.js'
import { PubSubLink } from '../../lib/brokers/redis/pubsub.js'
import { commandsFor } from '../../lib/brokers/redis/url.js'
import { freePort, RedisServer } from '../redis-server.js'
import { until } from './contract/server.js'
import { brokerContract } from './contract.js'

const redis = await RedisServer.start(tap)

const broker = ({ idempotencyTtl }: Wishes, url = redis.url, timeout = 5_000): NumberedBroker => new NumberedBroker({
  link: (events) => new PubSubLink({ client: commandsFor(url), keyPrefix: 'fan-out', idempotencyTtl }, events),
  timeout
})
const options: ContractOptions = {
  test,
  name: 'redis+pubsub',
  window: false,
  create: (_, wishes) => broker(wishes),
  unreachable: async (_, wishes) => broker(wishes, `redis://127.0.0.1:${await freePort()}`, 300)
}

await brokerContract(options)

test('what only a replica was told is not acknowledged, though it takes a PUBLISH', async (t) => {
  const [primary, other] = [await RedisServer.start(t), await RedisServer.start(t)]
  const one = broker({ size: 1, idempotencyTtl: 1_000 }, primary.url, 1_000)
  t.teardown(() => one.close())
  await one.start({ message: () => {}, doubt: () => {} })
  const publish = async (): Promise<unknown> => (await one.publish([{ room: 'a', text: '1' }]))[0]
  t.match(await publish(), { duplicate: false })
  await primary.admin.replicaof('127.0.0.1', other.port)
  t.match(await publish(), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
  await primary.admin.replicaof('NO', 'ONE')
  t.match(await publish(), { duplicate: false })
})

test('these rights are enough, and it says at start-up where they are not', async (t) => {
  const secured = await RedisServer.start(t)
  const [acl] = /ACL SETUSER[^`]*/.exec(await readFile('docs/brokers/redis-pubsub.md', 'utf8')) as [string]
  await secured.admin.call('ACL', ...acl.trim().split(/\s+/).slice(1))
  const url = secured.url.replace('//', '//fan-out:secret@')
  const one = broker({ size: 1, idempotencyTtl: 1_000 }, url, 1_000)
  t.teardown(() => one.close())
  const heard: string[] = []
  await one.start({ message: (_, message) => { if (message.type === 'message') heard.push(message.text) }, doubt: () => {} })
  await one.subscribe('a')
  const results = await one.publish([{ room: 'a', text: '1', idempotencyKey: 'k' }, { room: 'a', text: '2', idempotencyKey: 'k' }, { room: 'a', text: '3' }])
  t.match(results, [{ duplicate: false }, { duplicate: true }, { duplicate: false }])
  await until(() => heard.length === 2, 'two messages')
  t.match(await one.positions([{ room: 'a', seen: { epoch: 0, offset: 0 } }]), [{ offset: 3 }])
  await one.unsubscribe('a')

  for (const right of ['-publish', '-del', '-evalsha']) {
    await secured.admin.call('ACL', 'SETUSER', 'fan-out', right)
    const other = broker({ size: 1, idempotencyTtl: 1_000 }, url, 1_000)
    await t.rejects(other.start({ message: () => {}, doubt: () => {} }), { code: 'FAN_OUT_ERR_BROKER_AWAY' }, right)
    await other.close()
    await secured.admin.call('ACL', 'SETUSER', 'fan-out', right.replace('-', '+'))
  }
})

test('a message that Redis refuses is answered with an error, and is not missed', async (t) => {
  const full = await RedisServer.start(t)
  const one = broker({ size: 1, idempotencyTtl: 1_000 }, full.url, 1_000)
  t.teardown(() => one.close())
  const heard: string[] = []
  await one.start({ message: (_, message) => heard.push(message.type === 'gap' ? 'gap' : message.text), doubt: () => {} })
  await one.subscribe('a')
  await one.publish([{ room: 'a', text: '1' }])
  await full.admin.config('SET', 'maxmemory', '1')
  const results = await one.publish([{ room: 'a', text: '2' }, { room: 'a', text: '3', idempotencyKey: 'k' }, { room: 'a', text: '4' }])
  t.match(results, [{ duplicate: false }, { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /OOM/ }, { duplicate: false }])
  await until(() => heard.length >= 3, 'what needs no memory')
  t.same(heard, ['1', '2', '4'])
  await full.admin.config('SET', 'maxmemory', '0')
  t.match(await one.publish([{ room: 'a', text: '5', idempotencyKey: 'k' }]), [{ duplicate: false }])
})

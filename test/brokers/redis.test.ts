import type { RedisBrokerOptions } from '../../lib/brokers/redis/redis.js'
import type { ContractOptions, Server, TestContext, Wishes } from './contract/server.js'
import tap, { test } from 'tap'
import { Redis } from 'ioredis'
import { clientOptions } from '../../lib/brokers/redis/client.js'
import { RedisBroker } from '../../lib/brokers/redis/redis.js'
import { freePort, RedisServer } from '../redis-server.js'
import { newRoom, Stage, until } from './contract/server.js'
import { brokerContract } from './contract.js'

const redis = await RedisServer.start(tap)

const settings = ({ size, idempotencyTtl }: Wishes): RedisBrokerOptions => ({
  client: new Redis(redis.url, clientOptions),
  keyPrefix: 'contract',
  history: { size, maxAge: 300_000, bytes: 4 * 1024 * 1024 },
  idempotencyTtl,
  timeout: 5_000
})
const client = (url: string): Redis => new Redis(url, clientOptions)
const options: ContractOptions = {
  test,
  name: 'redis',
  create: (_, wishes) => new RedisBroker(settings(wishes)),
  unreachable: async (_, wishes) => new RedisBroker({ ...settings(wishes), client: client(`redis://127.0.0.1:${await freePort()}`), timeout: 300 })
}

await brokerContract(options)

/** A server on the broker with other settings, closed when the test ends. */
async function start (t: TestContext, others: Partial<RedisBrokerOptions> = {}): Promise<Server> {
  const stage = new Stage(t, { ...options, create: (_, wishes) => new RedisBroker({ ...settings(wishes), ...others }) })
  t.after(() => stage.close())
  return await stage.start()
}

test('rooms of another database, or under another prefix, are others, though channels are common to all', async (t) => {
  const one = await start(t)
  const others = [
    await start(t, { client: client(`${redis.url}/1`) }),
    await start(t, { keyPrefix: 'contract:other' })
  ]
  const room = newRoom()
  for (const { broker } of [one, ...others]) await broker.subscribe(room)
  await one.publish(room, '1')
  await one.heard(room, 1)
  for (const other of others) {
    t.equal((await other.broker.read(room, { limit: 10 })).entries.length, 0)
    t.equal(other.of(room).length, 0)
  }
})

test('the window ends by age and by bytes as well', async (t) => {
  const byAge = await start(t, { history: { size: 100, maxAge: 300, bytes: 1_000_000 } })
  const room = newRoom()
  const [first, second] = await byAge.publish(room, '1', '2')
  await until(async () => (await byAge.broker.read(room, { limit: 10 })).entries.length === 0, 'the window to be over')
  t.match(await byAge.broker.read(room, { since: first!, limit: 10 }), { entries: [{ type: 'gap', reason: 'expired', id: second }], position: second })
  const [third] = await byAge.publish(room, '3')
  t.match(await byAge.broker.read(room, { since: second!, limit: 10 }), { entries: [{ type: 'message', id: third, previous: second }] }, 'positions go on')

  const byBytes = await start(t, { history: { size: 100, maxAge: 60_000, bytes: 25 } })
  const other = newRoom()
  await byBytes.publish(other, '"1234567"', '"12345678"', '"123456789"')
  t.equal((await byBytes.broker.read(other, { limit: 10 })).entries.length, 2)
  await byBytes.publish(other, `"${'x'.repeat(100)}"`)
  t.equal((await byBytes.broker.read(other, { limit: 10 })).entries.length, 1, 'the newest stays')
})

test('a database that is not there is not taken for the first', async (t) => {
  const stage = new Stage(t, { ...options, create: (_, wishes) => new RedisBroker({ ...settings(wishes), client: client(`${redis.url}/99`) }) })
  t.after(() => stage.close())
  await t.rejects(stage.start(), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /DB index is out of range/ })
})

import type { ContractOptions, Wishes } from './contract/server.js'
import tap, { test } from 'tap'
import { NumberedBroker } from '../../lib/brokers/numbered.js'
import { PubSubLink } from '../../lib/brokers/redis/pubsub.js'
import { clientFor } from '../../lib/brokers/redis/url.js'
import { freePort, RedisServer } from '../redis-server.js'
import { brokerContract } from './contract.js'

const redis = await RedisServer.start(tap)

const broker = ({ idempotencyTtl }: Wishes, url = redis.url, timeout = 5_000): NumberedBroker => new NumberedBroker({
  link: (events) => new PubSubLink({ client: clientFor(url), keyPrefix: 'contract', idempotencyTtl }, events),
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

import tap from 'tap'
import { Redis } from 'ioredis'
import { clientOptions } from '../../lib/brokers/redis/connection.js'
import { RedisBroker } from '../../lib/brokers/redis/redis.js'
import { RedisServer } from '../redis-server.js'
import { brokerContract } from './contract.js'

const redis = await RedisServer.start(tap)

brokerContract({
  name: 'redis',
  create: (_, { size, idempotencyTtl }) => new RedisBroker({
    client: new Redis(redis.url, clientOptions),
    own: true,
    keyPrefix: 'contract',
    history: { size, maxAge: 300_000, bytes: 4 * 1024 * 1024 },
    idempotencyTtl,
    timeout: 5_000
  })
})

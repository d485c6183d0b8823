import type { Settings } from '../options.js'
import type { Broker, BrokerLog } from './broker.js'
import type { RedisClient } from './redis/connection.js'
import { errors } from '../errors.js'

// Each is imported only where it is asked for: nobody loads the client of a broker that is not used.
const schemes: Record<string, (url: URL, settings: Settings, log: BrokerLog) => Promise<Broker>> = {
  'memory:': async (_, { history, idempotencyTtl }) => {
    const { MemoryBroker } = await import('./memory.js')
    return new MemoryBroker({ history, idempotencyTtl })
  },
  'redis:': redis,
  'rediss:': redis
}

async function redis (url: URL, settings: Settings, log: BrokerLog): Promise<Broker> {
  const [{ Redis }, { clientOptions }] = await Promise.all([import('ioredis'), import('./redis/connection.js')])
  return await redisBroker(new Redis(url.href, clientOptions), true, settings, log)
}

async function redisBroker (client: RedisClient, own: boolean, { brokerOptions, history, idempotencyTtl }: Settings, log: BrokerLog): Promise<Broker> {
  const { RedisBroker } = await import('./redis/redis.js')
  const { keyPrefix, publishTimeout, replicas, failover } = brokerOptions
  // A little less than the rooms wait, so that it is the broker who says what is known of the outcome.
  return new RedisBroker({ client, own, keyPrefix, history, idempotencyTtl, timeout: publishTimeout * 0.95, replicas, failover, log })
}

function isRedisClient (broker: object): broker is RedisClient {
  return 'duplicate' in broker && 'evalsha' in broker && 'status' in broker
}

const methods = ['start', 'subscribe', 'unsubscribe', 'publish', 'read', 'positions', 'close'] as const

/** The broker that the options name: made from a URL, or one that was handed over. */
export async function createBroker (settings: Settings, log: BrokerLog): Promise<Broker> {
  const { broker } = settings
  if (typeof broker !== 'string') {
    if (typeof broker === 'object' && broker !== null && isRedisClient(broker)) {
      if (broker.isCluster === true) throw new errors.InvalidOption('options.broker: a Redis Cluster is not supported yet; give the client of a single Redis, or of Sentinels')
      return await redisBroker(broker, false, settings, log)
    }
    const given = broker as Broker
    const missing = methods.find((method) => typeof (given as Partial<Broker> | null)?.[method] !== 'function')
    if (missing === undefined) return given
    throw new errors.InvalidOption(`options.broker must be a URL, an ioredis client or a broker; it has no ${missing}()`)
  }
  const url = URL.canParse(broker) ? new URL(broker) : undefined
  const create = schemes[url?.protocol ?? '']
  // The URL itself is not repeated: it may carry a password.
  if (url === undefined || create === undefined) {
    const given = url === undefined ? 'this is none' : `not with ${url.protocol}`
    throw new errors.InvalidOption(`options.broker takes a URL that begins with ${Object.keys(schemes).join(' or ')}; ${given}`)
  }
  return await create(url, settings, log)
}

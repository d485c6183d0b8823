import type { Settings } from '../options.js'
import type { Broker, BrokerLog } from './broker.js'
import type { Link, LinkEvents } from './link.js'
import type { RedisClient } from './redis/client.js'
import { errors } from '../errors.js'

/** A broker, and its connection for commands where it is a Redis that a URL names: see `nameRedis`. */
export interface Made { broker: Broker, redis?: RedisClient }

// Each is imported only where it is asked for: nobody loads the client of a broker that is not used.
const schemes: Record<string, (url: string, settings: Settings, log: BrokerLog) => Promise<Made>> = {
  'memory:': async (_, { history, idempotencyTtl }) => {
    const { MemoryBroker } = await import('./memory.js')
    return { broker: new MemoryBroker({ history, idempotencyTtl }) }
  },
  'redis:': redis,
  'rediss:': redis,
  'redis+pubsub:': redisPubSub,
  'rediss+pubsub:': redisPubSub,
  'nats:': nats,
  'nats+jetstream:': jetStream
}

async function redis (url: string, settings: Settings, log: BrokerLog): Promise<Made> {
  const { commandsFor } = await import('./redis/url.js')
  const client = commandsFor(url)
  return { broker: await redisBroker(client, true, settings, log), redis: client }
}

async function redisPubSub (url: string, { brokerOptions, idempotencyTtl }: Settings): Promise<Made> {
  const [{ NumberedBroker }, { PubSubLink }, { commandsFor }] = await Promise.all([import('./numbered.js'), import('./redis/pubsub.js'), import('./redis/url.js')])
  const client = commandsFor(url.replace('+pubsub', ''))
  if (client.isCluster === true) throw new errors.InvalidOption('options.broker: redis+pubsub is for one Redis, or Sentinels; a Cluster takes redis:')
  const link = (events: LinkEvents): Link => new PubSubLink({ client, keyPrefix: brokerOptions.keyPrefix, idempotencyTtl }, events)
  return { broker: new NumberedBroker({ link, ...timeouts(brokerOptions) }), redis: client }
}

async function nats (url: string, { brokerOptions }: Settings): Promise<Made> {
  const [{ NumberedBroker }, { NatsLink }, { parseNatsUrl }] = await Promise.all([import('./numbered.js'), import('./nats/link.js'), import('./nats/url.js')])
  const server = parseNatsUrl(url)
  const link = (events: LinkEvents): Link => new NatsLink({ server, keyPrefix: brokerOptions.keyPrefix }, events)
  return { broker: new NumberedBroker({ link, ...timeouts(brokerOptions) }) }
}

async function jetStream (url: string, { brokerOptions, history, idempotencyTtl }: Settings, log: BrokerLog): Promise<Made> {
  const [{ JetStreamBroker }, { parseNatsUrl }] = await Promise.all([import('./jetstream/jetstream.js'), import('./nats/url.js')])
  const { keyPrefix, replicas } = brokerOptions
  return { broker: new JetStreamBroker({ nats: parseNatsUrl(url), keyPrefix, replicas, history, idempotencyTtl, ...timeouts(brokerOptions), log }) }
}

async function redisBroker (client: RedisClient, own: boolean, { brokerOptions, history, idempotencyTtl }: Settings, log: BrokerLog): Promise<Broker> {
  const { RedisBroker } = await import('./redis/redis.js')
  const { keyPrefix, replicas, failover } = brokerOptions
  return new RedisBroker({ client, own, keyPrefix, history, idempotencyTtl, ...timeouts(brokerOptions), replicas, failover, log })
}

/** Less than the rooms, and the start, wait: so it is the broker who says what is known of the outcome, and what was wrong, on a machine that is busy too. */
function timeouts ({ publishTimeout, startTimeout }: Settings['brokerOptions']): { timeout: number, startTimeout: number } {
  return { timeout: publishTimeout * 0.95, startTimeout: Math.min(publishTimeout * 0.95, startTimeout * 0.8) }
}

function isRedisClient (broker: object): broker is RedisClient {
  return 'duplicate' in broker && 'evalsha' in broker && 'status' in broker
}

const methods = ['start', 'subscribe', 'unsubscribe', 'publish', 'read', 'positions', 'close'] as const

/** The broker that the options name: made from a URL, or one that was handed over. */
export async function createBroker (settings: Settings, log: BrokerLog): Promise<Made> {
  const { broker } = settings
  if (typeof broker !== 'string') {
    if (typeof broker === 'object' && broker !== null && isRedisClient(broker)) return { broker: await redisBroker(broker, false, settings, log) }
    const given = broker as Broker
    const missing = methods.find((method) => typeof (given as Partial<Broker> | null)?.[method] !== 'function')
    if (missing === undefined) return { broker: given }
    throw new errors.InvalidOption(`options.broker must be a URL, an ioredis client or a broker; it has no ${missing}()`)
  }
  const [scheme] = /^[a-z][a-z+]*:/.exec(broker) ?? []
  const create = schemes[scheme ?? '']
  // The URL itself is not repeated: it may carry a password.
  if (create === undefined) {
    const given = scheme === undefined ? 'this is none' : `not with ${scheme}`
    throw new errors.InvalidOption(`options.broker takes a URL that begins with ${Object.keys(schemes).join(' or ')}; ${given}`)
  }
  return await create(broker, settings, log)
}

import type { JetStreamBrokerOptions } from '../../lib/brokers/jetstream/jetstream.js'
import type { Wishes } from './contract/server.js'
import tap, { test } from 'tap'
import { JetStreamBroker } from '../../lib/brokers/jetstream/jetstream.js'
import { parseNatsUrl } from '../../lib/brokers/nats/url.js'
import { NatsCluster } from '../nats-cluster.js'
import { NatsServer } from '../nats-server.js'
import { freePort } from '../redis-server.js'
import { brokerContract } from './contract.js'

/** What a contract wishes of a broker on JetStream. A stream is as its servers want it, all of them: so each wish has its own. */
export function jetStreamOptions (url: string, { size, idempotencyTtl }: Wishes): JetStreamBrokerOptions {
  return {
    nats: parseNatsUrl(url),
    keyPrefix: `contract-${size}-${idempotencyTtl}`,
    replicas: 0,
    history: { size, maxAge: 300_000 },
    idempotencyTtl,
    timeout: 5_000
  }
}

/** Holds JetStream to the contract. */
export async function jetStreamContract (program: 'nats' | 'nats-current'): Promise<void> {
  const nats = await NatsServer.start(tap, { program, jetstream: true, config: 'max_payload: 4MB' })
  await brokerContract({
    test,
    name: `nats+jetstream, on ${program}`,
    refused: { text: `"${'x'.repeat(4 * 1024 * 1024)}"` },
    create: (_, wishes) => new JetStreamBroker(jetStreamOptions(nats.url, wishes)),
    unreachable: async (_, wishes) => new JetStreamBroker({ ...jetStreamOptions(`nats://127.0.0.1:${await freePort()}`, wishes), timeout: 300 })
  })
}

/** The same of a stream with three replicas. */
export async function clusterContract (program: 'nats' | 'nats-current'): Promise<void> {
  const cluster = await NatsCluster.start(tap, { program, config: 'max_payload: 4MB' })
  await brokerContract({
    test,
    name: `nats+jetstream, on three nodes of ${program}`,
    refused: { text: `"${'x'.repeat(4 * 1024 * 1024)}"` },
    create: (_, wishes) => new JetStreamBroker({ ...jetStreamOptions(cluster.url, wishes), replicas: 2 })
  })
}

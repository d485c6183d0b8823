import tap, { test } from 'tap'
import { JetStreamBroker } from '../../lib/brokers/jetstream/jetstream.js'
import { NatsCluster } from '../nats-cluster.js'
import { brokerContract } from './contract.js'
import { jetStreamOptions } from './jetstream-contract.js'

const cluster = await NatsCluster.start(tap, { config: 'max_payload: 4MB' })
await brokerContract({
  test,
  name: 'nats+jetstream, on three nodes',
  refused: { text: `"${'x'.repeat(4 * 1024 * 1024)}"` },
  create: (_, wishes) => new JetStreamBroker({ ...jetStreamOptions(cluster.url, wishes), replicas: 2 })
})

import type { ContractOptions } from './contract/server.js'
import tap, { test } from 'tap'
import { NatsLink } from '../../lib/brokers/nats/link.js'
import { parseNatsUrl } from '../../lib/brokers/nats/url.js'
import { NumberedBroker } from '../../lib/brokers/numbered.js'
import { NatsServer } from '../nats-server.js'
import { freePort } from '../redis-server.js'
import { brokerContract } from './contract.js'

// Nothing of ours keeps a process alive while NATS is away.
const alive = setInterval(() => {}, 1_000)
tap.teardown(() => clearInterval(alive))

const broker = (url: string, timeout = 5_000): NumberedBroker => new NumberedBroker({
  link: (events) => new NatsLink({ server: parseNatsUrl(url), keyPrefix: 'fan-out' }, events),
  timeout
})

// Above the 1 MiB that a message can have.
const MOST = 1024 * 1024 + 1_000

// Both before the first test: tap ends when none is left.
const config = `max_payload: ${MOST}`
const servers = [await NatsServer.start(tap, { program: 'nats', config }), await NatsServer.start(tap, { config })]
const versions = await Promise.all(servers.map(async (server) => (await server.ask('/varz')).version as string))

for (const [index, server] of servers.entries()) {
  const options: ContractOptions = {
    test,
    name: `core NATS ${versions[index]}`,
    window: false,
    keys: false,
    create: () => broker(server.url),
    refused: { text: `"${'x'.repeat(MOST)}"` },
    unreachable: async () => broker(`nats://127.0.0.1:${await freePort()}`, 300)
  }
  await brokerContract(options)
}

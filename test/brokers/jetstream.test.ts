import { jetStreamContract } from './jetstream-contract.js'

await jetStreamContract('nats-current')

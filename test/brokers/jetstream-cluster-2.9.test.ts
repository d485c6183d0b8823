import { clusterContract } from './jetstream-contract.js'

await clusterContract('nats')

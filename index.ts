import fp from 'fastify-plugin'
import { fanOut as plugin } from './lib/plugin.js'

export const fanOut = fp(plugin, { fastify: '5.x', name: 'fastify-fan-out' })
export default fanOut

export type * from './types/index.js'
export { MemoryBroker } from './lib/brokers/memory.js'
export { errors } from './lib/errors.js'

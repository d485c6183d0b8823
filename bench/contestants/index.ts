import type { Contestant } from './contestant.js'
import { centrifugo } from './centrifugo.js'
import { fanOut, jetStreamClient, redisScript } from './fan-out.js'
import { fastifyWebsocket, floorBatch, floorMessage, wsLoop } from './plain.js'
import { socketIo } from './socket-io.js'

export interface Entrant {
  contestant: Contestant
  /** What it is given, empty: by its scheme, as ours takes it. */
  broker?: 'redis' | 'nats' | 'nats+jetstream'
}

const alone = (contestant: Contestant): Entrant => ({ contestant })
const onRedis = (contestant: Contestant): Entrant => ({ contestant, broker: 'redis' })

/** Who takes part, by the names that the tables show. */
export const entrants: Record<string, Entrant> = {
  'floor-batch': alone(floorBatch),
  'floor-message': alone(floorMessage),
  'ws-loop': alone(wsLoop),
  'fastify-websocket': alone(fastifyWebsocket),
  'fan-out': alone(fanOut),
  'fan-out-redis': onRedis(fanOut),
  'fan-out-nats': { contestant: fanOut, broker: 'nats' },
  'fan-out-jetstream': { contestant: fanOut, broker: 'nats+jetstream' },
  'redis-script': onRedis(redisScript),
  'jetstream-client': { contestant: jetStreamClient, broker: 'nats' },
  'socket-io': alone(socketIo),
  'socket-io-redis': onRedis(socketIo),
  // Where its program is at hand, see `bench/centrifugo.mjs`.
  ...centrifugo.available && { centrifugo: alone(centrifugo), 'centrifugo-redis': onRedis(centrifugo) }
}

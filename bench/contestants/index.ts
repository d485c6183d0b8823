import type { Contestant } from './contestant.js'
import { centrifugo } from './centrifugo.js'
import { fanOut, redisScript } from './fan-out.js'
import { fastifyWebsocket, floorBatch, floorMessage, wsLoop } from './plain.js'
import { socketIo } from './socket-io.js'

export interface Entrant {
  contestant: Contestant
  /** Whether it is given a Redis of its own. */
  redis: boolean
}

const alone = (contestant: Contestant): Entrant => ({ contestant, redis: false })
const onRedis = (contestant: Contestant): Entrant => ({ contestant, redis: true })

/** Who takes part, by the names that the tables show. */
export const entrants: Record<string, Entrant> = {
  'floor-batch': alone(floorBatch),
  'floor-message': alone(floorMessage),
  'ws-loop': alone(wsLoop),
  'fastify-websocket': alone(fastifyWebsocket),
  'fan-out': alone(fanOut),
  'fan-out-redis': onRedis(fanOut),
  'redis-script': onRedis(redisScript),
  'socket-io': alone(socketIo),
  'socket-io-redis': onRedis(socketIo),
  // Where its program is at hand, see `bench/centrifugo.mjs`.
  ...centrifugo.available && { centrifugo: alone(centrifugo), 'centrifugo-redis': onRedis(centrifugo) }
}

import type { Measured, Stage, Workload } from './workload.js'
import { setTimeout as wait } from 'node:timers/promises'
import { message } from '../message.js'
import { openFilesLimit } from '../proc.js'
import { quantile } from '../stats.js'
import { join, post, rateOf } from './fan-out.js'
import { audience, BYTES, OURS_SHARED, repeat } from './workload.js'

const published: Workload['metrics'] = { published: { unit: 'messages/s', better: 'more' }, perCore: { unit: 'messages/s of CPU', better: 'more' } }

/** Publishes in the server's process, to as many rooms as the size says. */
async function publishIn ({ running: { ask }, size, warmUp, duration }: Stage, batch: number, inFlight: number): Promise<Measured> {
  const { published, seconds, cpu } = await ask!({ ask: 'publish', rooms: repeat(size, (i) => `room-${i}`), batch, inFlight, bytes: BYTES, warmUp, duration })
  return { published: published / seconds, perCore: published / cpu }
}

export const publishMany: Workload = {
  name: 'publish-many',
  title: 'Batches of 100 messages published in the process to rooms, 8 batches under way',
  unit: 'rooms',
  sizes: [1, 10, 100],
  goalSize: 100,
  contestants: ['redis-script', ...OURS_SHARED],
  reference: 'first contestant',
  metrics: published,
  goals: [{ of: 'fan-out-redis', metric: 'published', to: 'redis-script', atLeast: 0.7 }],
  run: async (stage) => await publishIn(stage, 100, 8)
}

export const publishJetStream: Workload = {
  ...publishMany,
  name: 'publish-jetstream',
  title: 'Messages published in the process, each by itself, to rooms on JetStream, 256 under way',
  contestants: ['jetstream-client', 'fan-out-jetstream'],
  goals: [{ of: 'fan-out-jetstream', metric: 'published', to: 'jetstream-client', atLeast: 0.7 }],
  run: async (stage) => await publishIn(stage, 1, 256)
}

export const posts: Workload = {
  name: 'posts',
  title: 'Single POSTs to a room without subscribers, 64 under way',
  unit: 'bytes',
  sizes: [128, 1_024, 16_384],
  goalSize: 128,
  contestants: ['fastify-websocket', 'fan-out', ...OURS_SHARED, 'socket-io', 'centrifugo'],
  reference: 'first contestant',
  metrics: { rate: { unit: 'POSTs/s', better: 'more' }, perCore: { unit: 'POSTs/s of CPU', better: 'more' } },
  goals: [{ of: 'fan-out', metric: 'rate', to: 'fastify-websocket', atLeast: 0.75 }],
  async run ({ running: { urls, pids, publish }, load, size, warmUp, duration }) {
    const { posts, seconds, server, generator } = await load.publish({
      url: urls[0] as string, requests: [publish('room', [message(size)])], subscribers: 0, ahead: 0, inFlight: 64, warmUp, duration, pids
    })
    return { rate: posts / seconds, perCore: posts / server, server: server / seconds, generator: generator / seconds }
  }
}

// Each needs a file in the server, and one in the generator: where fewer may be open it is as many as can be.
const MANY = Math.min(20_000, openFilesLimit() - 500)

export const saturation: Workload = {
  name: 'saturation',
  title: 'One room, batches of 20 as fast as they are taken: the delay of the event loop, and of a ping on another connection',
  unit: 'subscribers',
  sizes: [0.1, 0.4, 1].map((part) => Math.round(part * MANY)),
  goalSize: MANY,
  contestants: ['floor-batch', 'ws-loop', 'fan-out', 'fan-out-redis'],
  reference: 'first contestant',
  metrics: { ping: { unit: 'ms, p99', better: 'less' }, delay: { unit: 'ms, p99', better: 'less' }, delivered: { unit: 'messages/s', better: 'more' } },
  goals: [
    { of: 'fan-out', metric: 'delay', atMost: 50 },
    { of: 'fan-out', metric: 'ping', atMost: 100 }
  ],
  async run (stage) {
    const { running: { urls, socket, ask }, warmUp, duration } = stage
    const pinger = await stage.anotherLoad()
    await pinger.join({ url: urls[0] as string, socket, clients: audience(1, 'another'), bytes: BYTES })
    await join(stage)
    // Further ahead there would only be more bytes in buffers.
    const posting = post(stage, 20, { inFlight: 8, ahead: 60, duration: 2 * duration })
    const [result, pings] = await Promise.all([posting, (async () => {
      await wait(warmUp)
      await ask!({ ask: 'watch' })
      const pings = await pinger.ping({ pause: 10, duration: 2 * duration })
      return { ...await ask!({ ask: 'delay' }) as { p99: number }, pings }
    })()])
    return { ...rateOf(result), delay: pings.p99, ping: quantile(pings.pings, 0.99) }
  }
}

// Of each server. What is asked is what a message costs, so nothing may be short of CPU time.
const [AUDIENCE, EVERY] = [300, 20]

export const servers: Workload = {
  name: 'servers',
  title: `Servers on one broker, ${AUDIENCE} subscribers of one room on each, a batch of 20 each ${EVERY} ms: the CPU time of the servers for each message delivered`,
  unit: 'servers',
  sizes: [1, 2, 3],
  goalSize: 3,
  contestants: [...OURS_SHARED, 'socket-io-redis', 'centrifugo-redis'],
  reference: 'first size',
  metrics: { cost: { unit: 'µs of CPU a message', better: 'less' }, delivered: { unit: 'messages/s', better: 'more' } },
  goals: [
    { of: 'fan-out-redis', metric: 'cost', atMost: 1.1 },
    { of: 'fan-out-nats', metric: 'cost', to: 'fan-out-redis', atMost: 1.1 },
    { of: 'fan-out-jetstream', metric: 'cost', to: 'fan-out-redis', atMost: 1.1 }
  ],
  servers: (size) => size,
  async run ({ running: { urls, pids, socket, publish }, load, warmUp, duration }) {
    for (const url of urls) await load.join({ url, socket, clients: audience(AUDIENCE, 'room'), bytes: BYTES })
    const subscribers = AUDIENCE * urls.length
    const result = await load.publish({
      url: urls[0] as string, requests: [publish('room', repeat(20, () => message(BYTES)))], subscribers, inFlight: 8, ahead: 1_000, every: EVERY, warmUp, duration: 2 * duration, pids
    })
    return { ...rateOf(result), cost: result.server / result.delivered * 1e6 }
  }
}

import type { PublishOptions, PublishResult } from '../generator/publisher.js'
import type { Goal, Measured, Metric, Stage, Workload } from './workload.js'
import { message } from '../message.js'
import { quantile } from '../stats.js'
import { audience, BYTES, OURS_SHARED, repeat } from './workload.js'

const ROOM = 'room'

// What is posted may be so many messages ahead of what everybody has, and no more deliveries. It bounds what servers without
// limits heap up, and how long a POST waits behind others: one that takes 10 s is cut off by Centrifugo.
const AHEAD = 256
const DELIVERIES = 256_000

export const rates: Record<string, Metric> = {
  delivered: { unit: 'messages/s', better: 'more' },
  perCore: { unit: 'messages/s of CPU', better: 'more' }
}

// Of those of our brokers that have come later.
const asOnRedis: Goal[] = ['fan-out-nats', 'fan-out-jetstream'].map((of) => ({ of, metric: 'delivered', to: 'fan-out-redis', atLeast: 0.9 }))

export function rateOf ({ delivered, seconds, server, generator }: PublishResult): Measured {
  return { delivered: delivered / seconds, perCore: delivered / server, server: server / seconds, generator: generator / seconds }
}

/** As many clients as the size says join one room of the first server. */
export async function join ({ running: { urls, socket }, load, size }: Stage): Promise<void> {
  await load.join({ url: urls[0] as string, socket, clients: audience(size, ROOM), bytes: BYTES })
}

/** Posts batches to that room. */
export async function post ({ running: { urls, pids, publish }, load, size, warmUp, duration }: Stage, batch: number, options: Pick<PublishOptions, 'inFlight'> & Partial<PublishOptions>): Promise<PublishResult> {
  return await load.publish({
    url: urls[0] as string, requests: [publish(ROOM, repeat(batch, () => message(BYTES)))], subscribers: size, ahead: Math.min(AHEAD, DELIVERIES / size), warmUp, duration, pids, ...options
  })
}

const EVERYBODY = ['floor-batch', 'floor-message', 'ws-loop', 'fan-out', ...OURS_SHARED, 'socket-io', 'socket-io-redis', 'centrifugo', 'centrifugo-redis']

export const batches: Workload = {
  name: 'batches',
  title: 'One room, messages of 128 bytes, posted in batches of 20 as fast as they are taken',
  unit: 'subscribers',
  sizes: [100, 1_000, 5_000],
  goalSize: 1_000,
  contestants: EVERYBODY,
  reference: 'first contestant',
  metrics: rates,
  goals: [
    { of: 'fan-out', metric: 'delivered', to: 'floor-batch', atLeast: 1 },
    { of: 'fan-out', metric: 'delivered', to: 'socket-io', atLeast: 8 },
    { of: 'fan-out', metric: 'perCore', to: 'centrifugo', atLeast: 1 },
    ...asOnRedis
  ],
  async run (stage) {
    await join(stage)
    return rateOf(await post(stage, 20, { inFlight: 8 }))
  }
}

export const singles: Workload = {
  ...batches,
  name: 'singles',
  title: 'One room, messages of 128 bytes, one a POST, 64 POSTs under way',
  contestants: ['floor-message', ...EVERYBODY.filter((name) => name !== 'floor-message')],
  goals: [{ of: 'fan-out', metric: 'delivered', to: 'floor-message', atLeast: 3 }, ...asOnRedis],
  async run (stage) {
    await join(stage)
    return rateOf(await post(stage, 1, { inFlight: 64 }))
  }
}

export const lone: Workload = {
  name: 'lone',
  title: 'One message at a time to an idle room, until its last subscriber has it',
  unit: 'subscribers',
  sizes: [100, 1_000, 5_000],
  goalSize: 1_000,
  contestants: ['floor-batch', 'ws-loop', 'fan-out', ...OURS_SHARED, 'socket-io', 'centrifugo'],
  reference: 'first contestant',
  metrics: { p50: { unit: 'ms', better: 'less' }, p99: { unit: 'ms', better: 'less' } },
  goals: [
    { of: 'fan-out', metric: 'p50', to: 'floor-batch', atMost: 1.3 },
    { of: 'fan-out', metric: 'p99', to: 'floor-batch', atMost: 1.3 },
    { of: 'fan-out-nats', metric: 'p50', to: 'fan-out-redis', atMost: 1.1 },
    { of: 'fan-out-jetstream', metric: 'p50', to: 'fan-out-redis', atMost: 1.1 }
  ],
  async run (stage) {
    const { running: { urls, publish }, load, size, warmUp, duration } = stage
    await join(stage)
    // Long enough for a 99th percentile: some hundreds of messages, at the size of the goals.
    const latencies = await load.lone({ url: urls[0] as string, request: publish(ROOM, [message(BYTES)]), subscribers: size, pause: 2, warmUp, duration: 10 * duration })
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
  }
}

export const busyRooms: Workload = {
  name: 'busy-rooms',
  title: 'Rooms of 10 subscribers, all busy: batches of 20 posted to one after the other, 64 POSTs under way',
  unit: 'rooms',
  sizes: [100, 300, 1_000],
  goalSize: 1_000,
  contestants: ['floor-batch', 'ws-loop', 'fan-out', ...OURS_SHARED, 'socket-io', 'socket-io-redis', 'centrifugo', 'centrifugo-redis'],
  reference: 'first contestant',
  metrics: rates,
  goals: [{ of: 'fan-out', metric: 'delivered', to: 'socket-io', atLeast: 3 }, ...asOnRedis],
  async run ({ running: { urls, pids, socket, publish }, load, size, warmUp, duration }) {
    const [url] = urls as [string]
    const rooms = repeat(size, (i) => `room-${i}`)
    const [subscribers, batch, inFlight] = [10, 20, 64]
    await load.join({ url, socket, clients: rooms.flatMap((room) => audience(subscribers, room)), bytes: BYTES })
    const requests = rooms.map((room) => publish(room, repeat(batch, () => message(BYTES))))
    // The fewer clients hear each message, the more of the code that runs for it is that of brokers: until all of that is compiled takes some seconds.
    return rateOf(await load.publish({ url, requests, subscribers, inFlight, ahead: 2 * inFlight * batch, warmUp: 6 * warmUp, duration, pids }))
  }
}

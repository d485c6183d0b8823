import type { Stage, Workload } from './workload.js'
import { setTimeout as wait } from 'node:timers/promises'
import { message } from '../message.js'
import { cpuTime, memory } from '../proc.js'
import { audience, BYTES, OURS_SHARED, repeat } from './workload.js'

/** Resident memory when all that can be given back is. One collection leaves a part of the pages, each time another. */
async function settled ({ running: { pids, ask } }: Stage): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await ask?.({ ask: 'collect' })
    await wait(200)
  }
  return memory(pids)
}

export const idle: Workload = {
  name: 'idle',
  title: 'Idle subscribers, 10 a room: the resident memory of each',
  unit: 'subscribers',
  sizes: [1_000, 3_000, 10_000],
  goalSize: 10_000,
  contestants: ['floor-batch', 'ws-loop', 'fan-out', 'fan-out-redis', 'socket-io', 'centrifugo'],
  reference: 'first contestant',
  metrics: { memory: { unit: 'bytes', better: 'less' } },
  goals: [{ of: 'fan-out', metric: 'memory', atMost: 8 * 1024 }],
  async run (stage) {
    const { running: { urls, socket }, load, size } = stage
    const [url] = urls as [string]
    // What is needed once is there after these.
    await load.join({ url, socket, clients: audience(500, 'warm'), bytes: BYTES })
    const before = await settled(stage)
    await load.join({ url, socket, clients: repeat(size, (i) => [`room-${i % (size / 10)}`]), bytes: BYTES })
    return { memory: (await settled(stage) - before) / size }
  }
}

export const handshakes: Workload = {
  name: 'handshakes',
  title: 'Connecting, and subscribing to a room, 64 connections on their way at a time',
  unit: 'connections',
  sizes: [1_000, 3_000, 10_000],
  goalSize: 10_000,
  contestants: ['fastify-websocket', 'ws-loop', 'fan-out', ...OURS_SHARED, 'socket-io', 'centrifugo'],
  reference: 'first contestant',
  metrics: { rate: { unit: 'connections/s', better: 'more' }, perCore: { unit: 'connections/s of CPU', better: 'more' } },
  goals: [{ of: 'fan-out', metric: 'rate', to: 'fastify-websocket', atLeast: 0.9 }],
  async run ({ running: { urls, pids, socket }, load, size }) {
    const [url] = urls as [string]
    await load.join({ url, socket, clients: audience(1_000, 'warm'), bytes: BYTES })
    const before = cpuTime(pids)
    const { seconds, generator } = await load.join({ url, socket, clients: repeat(size, (i) => [`room-${i % 100}`]), bytes: BYTES })
    const server = cpuTime(pids) - before
    return { rate: size / seconds, perCore: size / server, server: server / seconds, generator: generator / seconds }
  }
}

// As many as a connection may have by default.
const ROOMS_EACH = 100

export const subscriptions: Workload = {
  name: 'subscriptions',
  title: 'Rooms with one subscriber each, 100 a connection',
  unit: 'rooms',
  sizes: [10_000, 30_000, 100_000],
  goalSize: 100_000,
  contestants: ['floor-batch', 'ws-loop', 'fan-out', ...OURS_SHARED, 'socket-io', 'socket-io-redis', 'centrifugo', 'centrifugo-redis'],
  reference: 'first contestant',
  metrics: { rate: { unit: 'joins/s', better: 'more' }, memory: { unit: 'bytes a subscription', better: 'less' } },
  goals: [
    { of: 'fan-out', metric: 'memory', atMost: 1024 },
    { of: 'fan-out', metric: 'rate', atLeast: 20_000 },
    { of: 'fan-out-redis', metric: 'rate', atLeast: 10_000 }
  ],
  async run (stage) {
    const { running: { urls, pids, socket }, load, size } = stage
    const [url] = urls as [string]
    const connections = size / ROOMS_EACH
    const start = await settled(stage)
    // The same connections without rooms, to know what is theirs.
    await load.join({ url, socket, clients: repeat(connections, () => []), bytes: BYTES })
    const without = await settled(stage)
    const before = cpuTime(pids)
    const { seconds, generator } = await load.join({ url, socket, clients: repeat(connections, (i) => repeat(ROOMS_EACH, (j) => `room-${i}-${j}`)), bytes: BYTES })
    const server = cpuTime(pids) - before
    const total = await settled(stage)
    return { rate: size / seconds, memory: (total - without - (without - start)) / size, server: server / seconds, generator: generator / seconds }
  }
}

const MISSED = 200

export const storm: Workload = {
  name: 'storm',
  title: `All clients are back at once on a server that has none of the room, ${MISSED} messages behind, until all are served`,
  unit: 'clients',
  sizes: [300, 1_000, 3_000],
  goalSize: 3_000,
  // The first only does as many handshakes.
  contestants: ['fastify-websocket', 'fan-out-redis'],
  reference: 'first contestant',
  metrics: { time: { unit: 's', better: 'less' }, reads: { unit: 'scripts on Redis', better: 'less' } },
  goals: [
    { of: 'fan-out-redis', metric: 'time', to: 'fastify-websocket', atMost: 1.5 },
    { of: 'fan-out-redis', metric: 'reads', atMost: 5 }
  ],
  servers: () => 2,
  async run ({ running: { urls, pids, socket, publish }, load, redis, size }) {
    const [first, second] = urls as [string, string]
    const post = async (count: number): Promise<string> => {
      const { path, headers, body } = publish('storm', repeat(count, () => message(BYTES)))
      return await (await fetch(first + path, { method: 'POST', headers, body })).text()
    }
    await load.join({ url: second, socket, clients: audience(500, 'warm'), bytes: BYTES })
    const resumed = socket.resumes === undefined ? {} : { since: (JSON.parse(await post(1)) as { id: string }).id, messages: MISSED }
    if (socket.resumes) await post(MISSED)
    const readsBefore = await scriptsRun(redis)
    const before = cpuTime(pids)
    const { seconds, generator } = await load.join({ url: second, socket, clients: audience(size, 'storm'), bytes: BYTES, inFlight: size, ...resumed })
    return { time: seconds, reads: await scriptsRun(redis) - readsBefore, server: (cpuTime(pids) - before) / seconds, generator: generator / seconds }
  }
}

/** Everything that is read of a room, and written, is a script. */
async function scriptsRun (redis: Stage['redis']): Promise<number> {
  const stats = await redis?.info('commandstats') ?? ''
  // One that Redis did not know yet was sent twice.
  return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+),.*failed_calls=(\d+)/g)].reduce((sum, [, calls, failed]) => sum + Number(calls) - Number(failed), 0)
}

// The load: clients and publishers of one measurement, in a process of their own. Told what to do by `Load` (../load.ts).
import type { HttpRequest } from '../contestants/contestant.js'
import type { Target } from './client.js'
import type { PublishOptions } from './publisher.js'
import { setTimeout as wait } from 'node:timers/promises'
import { serve } from '../ipc.js'
import { Crowd } from './crowd.js'
import { Poster, Template } from './poster.js'
import { Publisher } from './publisher.js'

export interface JoinOptions {
  /** What all of them have in common. */
  target: Omit<Target, 'path' | 'frames' | 'joins'>
  clients: Array<Pick<Target, 'path' | 'frames' | 'joins'>>
  inFlight: number
  /** How many messages each is sent at once; default 0. */
  messages?: number
}

export interface LoneOptions {
  url: string
  request: HttpRequest
  subscribers: number
  /** Between two, in ms. */
  pause: number
  /** Both in ms; what happens before is not counted. */
  warmUp: number
  duration: number
}

const crowd = new Crowd()

async function join ({ target, clients, inFlight, messages = 0 }: JoinOptions): Promise<{ seconds: number, generator: number }> {
  const begun = performance.now()
  const cpu = process.cpuUsage()
  await crowd.join(clients.map((client) => ({ ...target, ...client })), inFlight)
  await crowd.wait(() => crowd.received === clients.length * messages)
  crowd.check(messages, clients.length)
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - begun) / 1_000, generator: (user + system) / 1e6 }
}

/** One message at a time: answers how long each took until the last subscriber had it, in ms. */
async function lone ({ url, request, subscribers, pause, warmUp, duration }: LoneOptions): Promise<number[]> {
  const template = new Template(url, request)
  const poster = new Poster(url, crowd.failed)
  const latencies: number[] = []
  let sent = 0
  const from = performance.now() + warmUp
  for (let begun = 0; begun < from + duration;) {
    begun = performance.now()
    const answered = new Promise<unknown>((resolve) => poster.post(template.fill(sent++), resolve))
    await crowd.wait(() => crowd.received === sent * subscribers)
    if (begun > from) latencies.push(performance.now() - begun)
    await answered
    await wait(pause)
  }
  crowd.check(sent)
  poster.destroy()
  return latencies
}

/** The first client pings: answers how long each took, in ms. */
async function ping ({ pause, duration }: { pause: number, duration: number }): Promise<number[]> {
  const latencies: number[] = []
  for (const end = performance.now() + duration; performance.now() < end;) {
    const begun = performance.now()
    await new Promise<void>((resolve) => {
      crowd.pong = resolve
      crowd.ping()
    })
    latencies.push(performance.now() - begun)
    await wait(pause)
  }
  return latencies
}

serve({}, {
  join,
  lone,
  ping,
  publish: async (options: PublishOptions) => await new Publisher(crowd, options).run(),
  close: () => crowd.close()
})

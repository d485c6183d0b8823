import type { NatsServer } from '../nats-server.js'
import type { Arena, World } from './troubles.js'
import { JetStreamApiError } from '@nats-io/jetstream'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../helpers.js'
import { lose, PROGRAMS, startJetStream } from './jetstream-stage.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'
import { links } from './troubles.js'

interface JetStreamWorld extends World { nats: NatsServer }

/** Is killed, and begins with `copy`. */
async function restart ({ nats, stage }: JetStreamWorld, copy?: string): Promise<void> {
  await nats.kill()
  await sleep(stage.random.upTo(2_000))
  if (copy !== undefined) await nats.restoreStore(copy)
  await nats.start()
}

/** Where the stream was deleted a moment ago, it is made anew first. */
async function losing (nats: NatsServer, what: Parameters<typeof lose>[1]): Promise<void> {
  await until(async () => await lose(nats, what).then(() => true, (error: Error) => {
    if (!(error instanceof JetStreamApiError)) throw error
    return false
  }), 'the stream to be there')
}

/** Waits until everybody in a room has a message of it as the last. Of those who stand where nothing of it was stored it is not promised that they are told of a purge: see docs/brokers/nats.md. */
async function standing (stage: Stage, room: string): Promise<void> {
  await until(async () => {
    const [published] = await stage.publish(1, { room })
    const epoch = published!.id?.split('-')[0]
    return epoch !== undefined && stage.listeners.every((listener) => {
      const last = listener.entries.at(-1)
      return listener.room !== room || (last?.type === 'message' && last.id.startsWith(`${epoch}-`))
    })
  }, `everybody to stand at a message, seed ${stage.seed}`, 15_000)
}

/** Servers on one nats-server, of long ago or a current one. */
export function jetStream (program: typeof PROGRAMS[number]): Arena<JetStreamWorld> {
  return {
    async start (scope, seed, size) {
      const nats = await startJetStream(scope, { program })
      return { nats, stage: await Stage.start(scope, { servers: await behindProxies(scope, nats.port, { scheme: 'nats+jetstream', options: { history: { size } } }), seed }) }
    },
    lossless: {
      ...links(/"seq":/),
      'kill -9 and restart': async (world) => await restart(world),
      'stop the process': async ({ nats, stage }) => {
        nats.pause()
        await sleep(stage.random.upTo(4_000))
        nats.resume()
      }
    },
    lossy: {
      'the stream deleted': async ({ nats }) => await losing(nats, 'stream'),
      'the stream purged': async ({ nats }) => await losing(nats, 'messages'),
      'a room purged': async ({ nats, stage }) => {
        const room = stage.pick(stage.rooms)
        await standing(stage, room)
        await losing(nats, { room })
        // Of what was purged JetStream would forget at a restart that it had been stored.
        const pending = stage.outcomes.filter((outcome) => outcome.room === room && outcome.result === 'pending')
        await until(() => pending.every(({ result }) => result !== 'pending'), 'what was under way to be answered', 10_000)
      },
      'an older copy restored': async (world) => {
        const { nats, stage } = world
        const copy = await nats.copyStore()
        await stage.progress(1 + stage.random.upTo(60))
        await restart(world, copy)
      }
    }
  }
}

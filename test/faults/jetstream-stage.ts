import type { StreamInfo } from '@nats-io/jetstream'
import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { NatsServerOptions } from '../nats-server.js'
import { jetstreamManager } from '@nats-io/jetstream'
import { encodeRoom } from '../../lib/brokers/nats/subjects.js'
import { NatsServer } from '../nats-server.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'

// What it is called where the prefix is what it is by default.
export const STREAM = 'fan-out'

export const PROGRAMS = ['nats', 'nats-current'] as const

/** One nats-server that writes before it acknowledges. */
export async function startJetStream (t: Pick<Test, 'teardown'>, options: NatsServerOptions = {}): Promise<NatsServer> {
  // The old one cannot be told to; it hands all to the kernel, and that is not killed.
  return await NatsServer.start(t, { jetstream: options.program === 'nats' ? true : 'always', ...options })
}

/** Servers on JetStream, each behind a proxy, and listeners. */
export async function startOnJetStream (t: Test, { port }: NatsServer, { servers = 2, listeners = 24, rooms = 3, options = {} as FanOutOptions } = {}): Promise<Stage> {
  return await Stage.start(t, { servers: await behindProxies(t, port, { scheme: 'nats+jetstream', servers, options }), listeners, rooms })
}

export const urlOf = ({ url }: { url: string }): string => url.replace('nats:', 'nats+jetstream:')

/** Deletes the stream, or purges it: all of it, or what it holds of a room. */
export async function lose (nats: NatsServer, what: 'stream' | 'messages' | { room: string }): Promise<void> {
  const { streams } = await jetstreamManager(await nats.admin())
  if (what === 'stream') await streams.delete(STREAM)
  else await streams.purge(STREAM, { filter: `${STREAM}.room.${what === 'messages' ? '*' : encodeRoom(what.room)}` })
}

export async function infoOf (nats: NatsServer): Promise<StreamInfo> {
  return await (await jetstreamManager(await nats.admin())).streams.info(STREAM)
}

/** How many losses the servers have written down. */
export async function lossesOf (nats: NatsServer): Promise<number> {
  const { streams } = await jetstreamManager(await nats.admin())
  const record = await streams.getMessage(STREAM, { last_by_subj: `${STREAM}.room.~lineage` })
  const { segments, opens } = record!.json<{ segments: Array<[epoch: number, start: number, flagged: number]>, opens?: [epoch: number, flagged: number] }>()
  // The first segment of all is one of them.
  return segments.slice(1).filter(([, , flagged]) => flagged === 1).length + (opens?.[1] ?? 0)
}

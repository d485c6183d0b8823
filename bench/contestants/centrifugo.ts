import type { ChildProcess } from 'node:child_process'
import type { Contestant } from './contestant.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../test/redis-server.js'
// @ts-expect-error: plain JavaScript, run before there is anything to compile
import { find, HOW } from '../centrifugo.mjs'
import { startAll, startProcess } from './server-process.js'

/** Its promise set as near to ours as it goes; whatever is not named is its default, GOMAXPROCS too: it may use every core. */
function configuration (port: number, redis: string | undefined): object {
  return {
    http_server: { address: '127.0.0.1', port },
    log: { level: 'error' },
    usage_stats: { disabled: true },
    health: { enabled: true },
    http_api: { insecure: true },
    engine: redis === undefined ? { type: 'memory' } : { type: 'redis', redis: { address: redis } },
    client: {
      allow_anonymous_connect_without_token: true,
      recovery_max_publication_limit: 1_000,
      // It pings, but asks for no pong: a ping may share a frame with messages, whose content the load generator skips.
      pong_timeout: '-1s'
    },
    channel: {
      // What no room's name holds: a colon in one would ask for a namespace.
      namespace_boundary: '\n',
      without_namespace: {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        // Our window: 1,000 messages, 5 minutes.
        history_size: 1_000,
        history_ttl: '300s',
        force_recovery: true,
        force_positioning: true
      }
    }
  }
}

async function healthy (url: string, child: ChildProcess): Promise<string> {
  while (child.exitCode === null && child.signalCode === null) {
    const answer = await fetch(url + '/health').catch(() => undefined)
    if (answer?.ok === true) break
    await delay(20)
  }
  return url
}

export const centrifugo: Contestant & { available: boolean } = {
  name: 'Centrifugo',
  get available () { return find() !== undefined },
  async start ({ redis, servers = 1 }) {
    const program = find()
    if (program === undefined) throw new Error(HOW)
    const folder = await mkdtemp(join(tmpdir(), 'fan-out-centrifugo-'))
    const running = await startAll(servers, async () => {
      const port = await freePort()
      const file = join(folder, `${port}.json`)
      await writeFile(file, JSON.stringify(configuration(port, redis)))
      return await startProcess(program, ['--config', file], ['ignore', 'pipe', 'pipe'], async (child) => await healthy(`http://127.0.0.1:${port}`, child))
    }).finally(async () => await rm(folder, { recursive: true }))   // read by now, or never
    return {
      ...running,
      socket: {
        enter: (rooms) => ({
          path: '/connection/websocket',
          frames: [{ id: 1, connect: {} }, ...rooms.map((channel, index) => ({ id: index + 2, subscribe: { channel } }))].map((command) => JSON.stringify(command))
        }),
        joined: '"subscribe":{'
      },
      publish (room, messages) {
        const publishes = messages.map((data) => `{"channel":${JSON.stringify(room)},"data":${data}}`)
        const headers = { 'content-type': 'application/json' }
        if (publishes.length === 1) return { path: '/api/publish', headers, body: publishes[0] as string }
        // Not `parallel`: the messages of a room would lose their order.
        return { path: '/api/batch', headers, body: `{"commands":[${publishes.map((publish) => `{"publish":${publish}}`).join(',')}]}` }
      }
    }
  }
}

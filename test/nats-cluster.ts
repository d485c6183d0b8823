import type { Test } from 'tap'
import type { NatsServerOptions } from './nats-server.js'
import { randomUUID } from 'node:crypto'
import { jetstreamManager } from '@nats-io/jetstream'
import { until } from './helpers.js'
import { NatsServer } from './nats-server.js'
import { freePort } from './redis-server.js'

/** Three nats-servers of a test's own, with routes between them, on which streams can have replicas. */
export class NatsCluster {
  readonly nodes: NatsServer[]

  private constructor (nodes: NatsServer[]) {
    this.nodes = nodes
  }

  static async start (t: Pick<Test, 'teardown'>, { config = '', ...options }: NatsServerOptions = {}): Promise<NatsCluster> {
    const name = `fan-out-${randomUUID()}`
    const routes = await Promise.all(Array.from({ length: 3 }, freePort))
    const nodes = await Promise.all(routes.map(async (route, i) => await NatsServer.start(t, {
      jetstream: true,
      ...options,
      // Until there is a leader none of them is healthy.
      ready: '/varz',
      config: [
        `server_name: node-${i}`,
        `cluster { name: ${name}, listen: "127.0.0.1:${route}", routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')}] }`,
        config
      ].join('\n')
    })))
    const cluster = new NatsCluster(nodes)
    await cluster.settled()
    return cluster
  }

  get url (): string {
    return `nats://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  }

  /** Waits until those that run have a leader, and all that they hold is up to date. */
  async settled (): Promise<void> {
    const running = this.nodes.filter((node) => node.running)
    const isUp = async (node: NatsServer): Promise<boolean> => {
      const { meta_cluster: meta } = await node.ask('/jsz')
      await node.ask('/healthz')
      return Boolean(meta?.leader) && meta.cluster_size === this.nodes.length
    }
    await until(async () => (await Promise.all(running.map(async (node) => await isUp(node).catch(() => false)))).every(Boolean), 'the cluster to settle', 30_000)
  }

  /** The node that leads a stream. */
  async leaderOf (stream: string): Promise<NatsServer> {
    // Where there is no leader of the cluster there is no answer either.
    const manager = await jetstreamManager(await this.nodes.find((node) => node.running)!.admin(), { checkAPI: false, timeout: 1_000 })
    const leader = await until(async () => (await manager.streams.info(stream).catch(() => undefined))?.cluster?.leader, `a leader of ${stream}`, 30_000)
    return this.nodes[Number(leader.replace('node-', ''))]!
  }
}

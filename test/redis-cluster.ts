import type { Test } from 'tap'
import { until } from './helpers.js'
import { freePort, RedisServer } from './redis-server.js'

const SLOTS = 16_384

/** A Redis Cluster of a test's own: primaries that share the slots, and a replica for each. */
export class RedisCluster {
  readonly nodes: RedisServer[]

  private constructor (nodes: RedisServer[]) {
    this.nodes = nodes
  }

  static async start (t: Pick<Test, 'teardown'>, { primaries = 3, replicas = 1, timeout = 1_500, args = async (): Promise<string[]> => [] } = {}): Promise<RedisCluster> {
    const own = async (): Promise<string[]> => ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort()), '--cluster-node-timeout', String(timeout), '--cluster-replica-validity-factor', '0', ...await args()]
    const nodes = await Promise.all(Array.from({ length: primaries * (1 + replicas) }, async () => await RedisServer.start(t, own)))
    const cluster = new RedisCluster(nodes)
    const [first] = nodes as [RedisServer]
    const [, bus] = /@(\d+)/.exec((await nodesOf(first))[0]!)!
    for (const [i, node] of nodes.entries()) await node.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    for (const node of nodes.slice(1)) await node.admin.call('CLUSTER', 'MEET', '127.0.0.1', first.port, bus!)
    const share = Math.ceil(SLOTS / primaries)
    for (let i = 0; i < primaries; i++) await nodes[i]!.admin.call('CLUSTER', 'ADDSLOTSRANGE', i * share, Math.min(SLOTS, (i + 1) * share) - 1)
    await until(async () => (await Promise.all(nodes.map(async (node) => (await nodesOf(node)).length))).every((known) => known === nodes.length), 'the nodes to meet', 20_000)
    for (const [i, node] of nodes.slice(primaries).entries()) await node.admin.call('CLUSTER', 'REPLICATE', await idOf(nodes[i % primaries]!))
    await cluster.settled()
    return cluster
  }

  get url (): string {
    return `redis://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}?cluster=true`
  }

  /** Waits until every node that runs says that all is well, and replicas have a primary. */
  async settled (nodes = this.nodes): Promise<void> {
    await until(async () => (await Promise.all(nodes.map(async (node) => {
      const info = String(await node.admin.cluster('INFO'))
      const replication = await node.admin.info('replication')
      return /cluster_state:ok/.test(info) && (/role:master/.test(replication) || /master_link_status:up/.test(replication))
    }))).every(Boolean), 'the cluster to settle', 20_000)
  }

  /** The primary of a key's slot, as the cluster sees it. */
  async primaryOf (key: string, asked = this.nodes[0] as RedisServer): Promise<RedisServer> {
    const slot = await asked.admin.cluster('KEYSLOT', key)
    const ranges = await asked.admin.cluster('SLOTS') as unknown as Array<[number, number, [string, number]]>
    const [, , [, port]] = ranges.find(([start, end]) => start <= slot && slot <= end)!
    return this.nodes.find((node) => node.port === port)!
  }

  /** A replica of `primary`. */
  async replicaOf (primary: RedisServer): Promise<RedisServer> {
    const id = await idOf(primary)
    const line = await until(async () => (await nodesOf(primary)).find((line) => line.split(' ')[3] === id), 'the primary to hear of its replica', 20_000)
    return this.nodes.find(({ port }) => line.includes(`:${port}@`))!
  }

  /** Has `replica` take over from its primary, as an operator would: writes wait until it has all of them. */
  async failOver (replica: RedisServer): Promise<void> {
    const info = async (): Promise<string> => await replica.admin.info('replication')
    await until(async () => /master_link_status:up/.test(await info()), 'replication', 20_000)
    // One that was not granted in 5 s has to be asked for again.
    for (let tries = 0; tries < 3 && !/role:master/.test(await info()); tries++) {
      await replica.admin.call('CLUSTER', 'FAILOVER')
      await until(async () => /role:master/.test(await info()), 'the promotion', 5_500).catch(() => {})
    }
    await until(async () => /role:master/.test(await info()), 'the promotion', 100)
    await this.settled()
  }

  /** Moves a key's slot, keys and all, as `redis-cli --cluster reshard` does; `halfway` runs when some of the keys are gone. */
  async moveSlot (key: string, to: RedisServer, halfway = async (): Promise<void> => {}): Promise<void> {
    const from = await this.primaryOf(key)
    const slot = await from.admin.cluster('KEYSLOT', key)
    const [fromId, toId] = [await idOf(from), await idOf(to)]
    await to.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
    await from.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
    for (let first = true; ; first = false) {
      const keys = await from.admin.cluster('GETKEYSINSLOT', slot, 1)
      if (keys.length === 0) break
      await from.admin.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys as string[])
      if (first) await halfway()
    }
    await to.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
    await from.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
    const others = this.nodes.filter((node) => node !== to && node !== from)
    for (const node of others) await node.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId).catch(() => {})
  }
}

async function nodesOf (node: RedisServer): Promise<string[]> {
  return String(await node.admin.cluster('NODES')).trim().split('\n')
}

async function idOf (node: RedisServer): Promise<string> {
  return String(await node.admin.cluster('MYID'))
}

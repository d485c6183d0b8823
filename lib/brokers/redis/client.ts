export interface RedisPipeline {
  evalsha (sha: string, keys: number, ...args: Array<string | number>): unknown
  wait (replicas: number, timeout: number): unknown
  exec (): Promise<Array<[error: Error | null, reply?: unknown]> | null>
}

/**
 * What is used of an ioredis client, of version 5 or 6, a Cluster's included. One that an app hands over is duplicated,
 * and otherwise left alone: no connection of ours stands behind what the app does with its own.
 */
export interface RedisClient {
  readonly status: string
  readonly options?: { db?: number | undefined, keyPrefix?: string | undefined, host?: string | undefined, port?: number | undefined, username?: string | undefined, password?: string | null | undefined, tls?: object | undefined }
  readonly isCluster?: boolean
  ping (): Promise<unknown>
  select (database: number): Promise<unknown>
  connect (): Promise<unknown>
  disconnect (reconnect?: boolean): void
  // Any: a Cluster is duplicated by other arguments than a single Redis, and each event has arguments of its own; with
  // `unknown` no client's overloads would fit.
  duplicate (...args: any[]): RedisClient
  subscribe (...channels: string[]): Promise<unknown>
  unsubscribe (...channels: string[]): Promise<unknown>
  ssubscribe (...channels: string[]): Promise<unknown>
  sunsubscribe (...channels: string[]): Promise<unknown>
  evalsha (sha: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  eval (script: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  pipeline (): RedisPipeline
  wait (replicas: number, timeout: number): Promise<unknown>
  on (event: string, listener: (...args: any[]) => void): unknown
  off (event: string, listener: (...args: any[]) => void): unknown
}

/** What more is used of a client for a Cluster. */
export interface ClusterClient extends RedisClient {
  /** The addresses that serve each slot, the primary's first. */
  readonly slots: string[][]
  nodes (role: 'master'): RedisClient[]
  refreshSlotsCache (): void
}

export function isCluster (client: RedisClient): client is ClusterClient {
  return client.isCluster === true
}

/** The options of every client that is made here: each call has its own deadline and tries again by itself. */
export const clientOptions = {
  lazyConnect: true,
  autoResubscribe: false,
  enableAutoPipelining: false,
  enableOfflineQueue: false,
  // What was in flight when the link broke fails at once.
  maxRetriesPerRequest: 0,
  connectTimeout: 2_000,
  // It asks for INFO, which may be refused; LOADING is an answer like others here.
  enableReadyCheck: false,
  // ioredis 5 takes a link that breaks while these are under way for ready, and never connects anew.
  disableClientInfo: true,
  connectionName: '',
  retryStrategy: (times: number) => Math.min(50 + 50 * times, 500) * (0.5 + Math.random())
}

const clusterOptions = {
  lazyConnect: true,
  enableAutoPipelining: false,
  enableOfflineQueue: false,
  shardedSubscribers: false,
  scaleReads: 'master',
  // We ask ourselves: a refresh that is under way at the end would set ioredis' timer again, which keeps the process alive.
  slotsRefreshInterval: 0,
  clusterRetryStrategy: clientOptions.retryStrategy,
  redisOptions: { connectTimeout: clientOptions.connectTimeout }
}

/** Another connection, not opened yet, to what `client` is for. */
export function connectionLike (client: RedisClient): RedisClient {
  if (!isCluster(client)) return client.duplicate(clientOptions)
  // Those that it was started with can be gone by now.
  const nodes = client.nodes('master').map(({ options = {} }) => {
    const { host, port, username, password, tls } = options
    return { host, port, ...(username !== undefined && { username }), ...(password !== undefined && { password }), ...(tls !== undefined && { tls }) }
  })
  // ioredis 5 would let ours take the place of all the client's.
  const { redisOptions } = client.options as { redisOptions?: object }
  return client.duplicate(nodes, { ...clusterOptions, redisOptions: { ...redisOptions, ...clusterOptions.redisOptions } })
}

import type { RedisClient } from './client.js'
import { Cluster, Redis } from 'ioredis'
import { errors } from '../../errors.js'
import { connectionLike } from './client.js'

interface Address { host: string, port?: number }

/** A connection for commands to what a URL names, not opened yet. */
export function commandsFor (url: string): RedisClient {
  return connectionLike(clientFor(url))
}

/**
 * The client that a URL names, not connected:
 *
 * - `redis://[[user]:password@]host[:port][/database]`, one Redis;
 * - `redis://…@host:port,host:port[/database]?sentinel=<name>`, what these Sentinels know by that name (`sentinelUsername`
 *   and `sentinelPassword` where they ask for their own);
 * - `redis://…@host:port,host:port?cluster=true`, a Cluster, by some of its nodes.
 *
 * `rediss:` for TLS. Other parameters are ioredis options, as in its own URLs (`?family=6`).
 */
export function clientFor (url: string): RedisClient {
  const [, scheme, userInfo = '', hosts = '', path = ''] = /^(rediss?):\/\/(?:([^/?#]*)@)?([^/?#@]*)([^#]*)/.exec(url) ?? []
  const [first = '', ...more] = hosts.split(',')
  // The rest of it is parsed by the platform, with one host in the place of all.
  const parsed = URL.canParse(`${scheme}://${userInfo}@${first}${path}`) ? new URL(`${scheme}://${userInfo}@${first}${path}`) : undefined
  const addresses = [first, ...more].map((host) => toAddress(host, more.length === 0))
  if (scheme === undefined || parsed === undefined || addresses.includes(undefined)) {
    throw new errors.InvalidOption('options.broker is no Redis URL, which are redis://[user:password@]host[:port][/database], with several hosts for Sentinels and Clusters')
  }
  const { searchParams } = parsed
  const [, database] = /^\/?(\d*)$/.exec(parsed.pathname) ?? []
  if (database === undefined) throw new errors.InvalidOption('options.broker: what follows the host is the number of a database, redis://host/3')
  const db = Number(database)
  const name = take(searchParams, 'sentinel')
  const cluster = take(searchParams, 'cluster')
  if (cluster !== undefined && !['true', 'false', ''].includes(cluster)) throw new errors.InvalidOption('options.broker: ?cluster takes true or false')

  const credentials = { username: decoded(parsed.username), password: decoded(parsed.password) }
  const tls = scheme === 'rediss' ? { tls: {} } : {}
  const nodes = addresses as Address[]
  if (name !== undefined) {
    const sentinelUsername = take(searchParams, 'sentinelUsername')
    const sentinelPassword = take(searchParams, 'sentinelPassword')
    return new Redis({
      ...rest(searchParams),
      lazyConnect: true,
      name,
      sentinels: nodes.map(({ host, port = 26379 }) => ({ host, port })),
      db,
      ...defined({ ...credentials, sentinelUsername, sentinelPassword }),
      ...tls,
      ...(scheme === 'rediss' && { enableTLSForSentinelMode: true, sentinelTLS: {} })
    })
  }
  if (cluster !== undefined && cluster !== 'false') {
    if (db !== 0) throw new errors.InvalidOption('options.broker: a Redis Cluster has no other database than 0')
    return new Cluster(nodes.map(({ host, port = 6379 }) => ({ host, port })), {
      lazyConnect: true,
      redisOptions: { ...rest(searchParams), ...defined(credentials), ...tls },
      // A certificate is for the name.
      ...(scheme === 'rediss' && { dnsLookup: (address: string, callback: (error: null, address: string) => void) => callback(null, address) })
    })
  }
  if (more.length > 0) throw new errors.InvalidOption('options.broker names several hosts: those of Sentinels need ?sentinel=<name of the primary>, those of a Cluster ?cluster=true')
  return new Redis(parsed.href, { lazyConnect: true })
}

function toAddress (text: string, only: boolean): Address | undefined {
  if (!URL.canParse(`redis://${text}`)) return undefined
  const { hostname, port } = new URL(`redis://${text}`)
  if (hostname === '' && !only) return undefined
  // As ioredis takes IPv6.
  const host = hostname.replace(/^\[|\]$/g, '') || 'localhost'
  return port === '' ? { host } : { host, port: Number(port) }
}

function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new errors.InvalidOption('options.broker: a % in the user or the password of a URL is written %25')
  }
}

function take (parameters: URLSearchParams, name: string): string | undefined {
  const value = parameters.get(name)
  parameters.delete(name)
  return value ?? undefined
}

/** What is an option of ioredis, numbers as numbers. */
function rest (parameters: URLSearchParams): Record<string, string | number> {
  return Object.fromEntries([...parameters].map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]))
}

function defined<T extends object> (values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== '')) as { [Key in keyof T]?: Exclude<T[Key], undefined> }
}

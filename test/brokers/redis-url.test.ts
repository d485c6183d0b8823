import type { Cluster, Redis } from 'ioredis'
import { test } from 'tap'
import { clientFor } from '../../lib/brokers/redis/url.js'

test('one Redis', (t) => {
  const options = (url: string): object => (clientFor(url) as unknown as Redis).options
  t.match(options('redis://somewhere'), { host: 'somewhere', port: 6379, db: 0 })
  t.match(options('redis://user:p%40ss%2C@somewhere:7000/3'), { host: 'somewhere', port: 7000, db: 3, username: 'user', password: 'p@ss,' })
  t.match(options('redis://:secret@[::1]:7000'), { host: '::1', port: 7000, password: 'secret' })
  t.match(options('rediss://somewhere?family=6'), { host: 'somewhere', tls: true, family: 6 })
  t.equal(clientFor('redis://somewhere').status, 'wait', 'not connected')
  t.end()
})

test('Sentinels', (t) => {
  const { options } = clientFor('redis://user:pass@one:1,two:2,three/4?sentinel=main&sentinelPassword=s%20p') as unknown as Redis
  t.match(options, {
    sentinels: [{ host: 'one', port: 1 }, { host: 'two', port: 2 }, { host: 'three', port: 26379 }],
    name: 'main',
    db: 4,
    username: 'user',
    password: 'pass',
    sentinelPassword: 's p'
  })
  t.match((clientFor('rediss://one?sentinel=main') as unknown as Redis).options, { tls: {}, enableTLSForSentinelMode: true })
  t.end()
})

test('a Cluster', (t) => {
  const cluster = clientFor('redis://user:pass@one:1,[::1]:2?cluster=true&family=6') as unknown as Cluster
  t.equal(cluster.isCluster, true)
  t.equal(cluster.status, 'wait', 'not connected')
  t.strictSame((cluster as unknown as { startupNodes: unknown }).startupNodes, [{ host: 'one', port: 1 }, { host: '::1', port: 2 }])
  t.match(cluster.options.redisOptions, { username: 'user', password: 'pass', family: 6 })
  t.match((clientFor('rediss://one?cluster=true') as unknown as Cluster).options.redisOptions, { tls: {} })
  t.end()
})

test('what cannot be meant is refused, without repeating the password', (t) => {
  for (const [url, message] of [
    ['redis://one,two', /\?sentinel=<name of the primary>.*\?cluster=true/],
    ['redis://user:secret@one:port', /no Redis URL/],
    ['redis://one,,two?cluster=true', /no Redis URL/],
    ['redis:one', /no Redis URL/],
    ['redis://one/three', /database/],
    ['redis://user:secret%@one', /%25/],
    ['redis://one?cluster=maybe', /true or false/],
    ['redis://one/3?cluster=true', /no other database/]
  ] as const) {
    t.throws(() => clientFor(url), { code: 'FAN_OUT_ERR_INVALID_OPTION', message }, url)
    try { clientFor(url) } catch (error) { t.notMatch((error as Error).message, /secret/) }
  }
  t.end()
})

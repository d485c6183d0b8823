import type { Test } from 'tap'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'tap'
import { newRoom, startApp } from '../helpers.js'
import { freePort, RedisServer } from '../redis-server.js'

const START = 1_000
// The default of `publishTimeout`.
const PUBLISH = 5_000

for (const scheme of ['redis:', 'redis+pubsub:']) {
  test(`${scheme} a start that fails says why, also where a publish would wait for longer`, async (t) => {
    const redis = await RedisServer.start(t)
    await redis.admin.call('ACL', 'SETUSER', 'fan', 'on', '>secret', '~*', '&*', '+@all')
    const unreachable = {
      'nobody listens': [`127.0.0.1:${await freePort()}`, { code: 'ECONNREFUSED' }],
      'a wrong password': [`fan:wrong@127.0.0.1:${redis.port}`, { message: /WRONGPASS/ }],
      'an unknown host': ['no-such-host.invalid:6379', { code: /ENOTFOUND|EAI_AGAIN/ }]
    } as const
    for (const [what, [address, cause]] of Object.entries(unreachable)) {
      const began = performance.now()
      await t.rejects(startApp(t, { broker: `${scheme}//${address}`, brokerOptions: { startTimeout: START } }), { code: 'FAN_OUT_ERR_BROKER_AWAY', cause }, what)
      t.ok(performance.now() - began < PUBLISH, 'sooner than a publish would fail')
    }
  })
}

/** A way to a Redis on which it says that it is a 6: of all that passes one digit is changed. */
async function asOlder (t: Test, port: number): Promise<string> {
  const server = createServer((client) => {
    const redis = connect(port, '127.0.0.1')
    client.pipe(redis)
    redis.on('data', (data) => client.write(data.toString('latin1').replace(/redis_version:\d/, 'redis_version:6'), 'latin1'))
    for (const socket of [client, redis]) socket.on('error', () => {}).on('close', () => { client.destroy(); redis.destroy() })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return `redis://127.0.0.1:${(server.address() as { port: number }).port}`
}

test('a Redis that is too old is refused by its version, before it is asked for what it does not know', async (t) => {
  const redis = await RedisServer.start(t, ['--rename-command', 'PUBLISH', ''])
  await t.rejects(startApp(t, { broker: redis.url, brokerOptions: { startTimeout: START } }), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /refuses/ })
  await t.rejects(startApp(t, { broker: await asOlder(t, redis.port) }), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /leads to Redis 6\.[\d.]+, which is too old: Redis 7\.0 or later is needed$/ })
})

test('one that does not say its version is taken as it is', async (t) => {
  const redis = await RedisServer.start(t)
  await redis.admin.call('ACL', 'SETUSER', 'default', '-info')
  const { app } = await startApp(t, { broker: await asOlder(t, redis.port) })
  t.match(await app.rooms.publish(newRoom(), 1), { duplicate: false })
})

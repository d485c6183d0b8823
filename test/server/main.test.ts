import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import WebSocket from 'ws'
import { serve, start, until } from './helpers.js'

test('starts with nothing set, and prints how to publish', async (t) => {
  const { child, output, exited } = start(t, { PORT: '0' })
  await until(() => output().includes('Live page:'), 'it listens')
  const [, url = '', key = ''] = /curl (\S+) -H "authorization: Bearer ([\w-]+)"/.exec(output()) ?? []
  t.match(url, /\/rooms\/demo$/)

  const post = (bearer: string) => fetch(url, {
    method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }, body: '{"hello":"world"}'
  })
  const response = await post(key)
  t.equal(response.status, 200)
  t.match(await response.json(), { room: 'demo', id: /^\d+-\d+$/ })
  t.equal((await post('another')).status, 401, 'with no other key')

  child.kill('SIGTERM')
  t.equal(await exited, 0, 'ends cleanly when asked')
})

test('a signal tells the clients and ends; a second one ends at once', async (t) => {
  const { child, origin, exited } = await serve(t)
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/rooms?room=demo`)
  await once(socket, 'message')
  const closed = once(socket, 'close')
  child.kill('SIGINT')
  t.equal((await closed)[0], 1001)
  t.equal(await exited, 0)

  const stubborn = await serve(t)
  // A client that answers no close keeps the server waiting.
  const silent = new WebSocket(`${stubborn.origin.replace('http', 'ws')}/rooms?room=demo`)
  await once(silent, 'message')
  silent.on('error', () => {})
  silent.pause()
  stubborn.child.kill('SIGTERM')
  await until(() => stubborn.output().includes('SIGTERM: closing'), 'the first signal is seen')
  stubborn.child.kill('SIGTERM')
  t.equal(await stubborn.exited, 143)
  silent.terminate()
})

test('what cannot be used is named, and ends it with 1', async (t) => {
  const fails = async (env: Record<string, string>, message: RegExp) => {
    const { exited, output } = start(t, env)
    t.equal(await exited, 1)
    t.match(output(), message)
    t.notMatch(output(), /\n\s+at |hidden/, 'without a stack, or a secret')
  }
  await fails({ PORT: 'http' }, /^fastify-fan-out: PORT must be/)
  await fails({ PORT: '0', FAN_OUT_BROKER: 'amqp://user:hidden@host' }, /^fastify-fan-out: FAN_OUT_BROKER cannot be used: /m)
  await fails({ PORT: '0', FAN_OUT_TOKEN_SECRET: '' }, /^fastify-fan-out: FAN_OUT_TOKEN_SECRET is set but empty/)
  // TEST-NET-1 of RFC 5737: an address that no machine has
  await fails({ PORT: '0', HOST: '192.0.2.1' }, /^fastify-fan-out: HOST 192\.0\.2\.1 is not an address/m)

  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  await fails({ PORT: String(port) }, /^fastify-fan-out: PORT \d+ is already in use/m)
})

test('--help and --version', async (t) => {
  const help = start(t, {}, ['--help'])
  t.equal(await help.exited, 0)
  t.match(help.output(), /FAN_OUT_TOKEN_SECRET +where set/)
  const version = start(t, {}, ['--version'])
  t.equal(await version.exited, 0)
  t.match(version.output(), /^\d+\.\d+\.\d+\S*\n$/)
  const other = start(t, {}, ['--port'])
  t.equal(await other.exited, 1)
  t.match(other.output(), /see fastify-fan-out --help/)
})

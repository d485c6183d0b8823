import type { Socket } from 'node:net'
import type { Test } from 'tap'
import type { Msg } from '../../lib/brokers/nats/connection.js'
import { once } from 'node:events'
import { createServer } from 'node:net'
import tap, { test } from 'tap'
import { NatsConnection } from '../../lib/brokers/nats/connection.js'
import { parseNatsUrl } from '../../lib/brokers/nats/url.js'
import { systemScheduler } from '../../lib/scheduler.js'
import { until } from '../helpers.js'
import { NatsReader } from '../faults/nats-proxy.js'
import { Proxy } from '../faults/proxy.js'
import { NatsCluster } from '../nats-cluster.js'
import { NatsServer } from '../nats-server.js'
import { freePort } from '../redis-server.js'

// Nothing of ours keeps a process alive while NATS is away.
const alive = setInterval(() => {}, 1_000)
tap.teardown(() => clearInterval(alive))

const within = (ms: number): number => performance.now() + ms

function connection (t: Test, url: string): { nats: NatsConnection, events: string[] } {
  const events: string[] = []
  const nats = new NatsConnection(parseNatsUrl(url), systemScheduler, {
    connected: () => { events.push('connected') },
    disconnected: () => { events.push('disconnected') }
  })
  t.teardown(() => nats.close())
  return { nats, events }
}

for (const program of ['nats', 'nats-current'] as const) {
  test(`a connection to ${program}`, async (t) => {
    const server = await NatsServer.start(t, { program, config: 'max_payload: 1000' })
    const { nats, events } = connection(t, server.url)
    await nats.open(within(5_000))
    t.strictSame(events, ['connected'])
    t.match(nats.serverInfo, { version: /^2\./, max_payload: 1000, headers: true })

    const heard: string[] = []
    const subscription = nats.subscribe('a.*', (message) => { heard.push(message.string()) })
    await subscription.confirmed(within(5_000))
    await nats.deliver('a.1', ['1', '2', '3'], within(5_000))
    await until(() => heard.length === 3)
    t.strictSame(heard, ['1', '2', '3'])

    t.test('asks, and is answered', async (t) => {
      const admin = await server.admin()
      admin.subscribe('echo', { callback: (_, message) => { message.respond(message.data, message.headers === undefined ? {} : { headers: message.headers }) } })
      admin.subscribe('many', { callback: (_, message) => { for (const n of '123') message.respond(n) } })
      await admin.flush()
      await nats.subscribe('silent', () => {}).confirmed(within(5_000))
      t.equal((await nats.request('echo', 'hello', { deadline: within(5_000) })).string(), 'hello')
      const got: string[] = []
      await nats.requestMany('many', '', { deadline: within(5_000), onReply: (reply) => got.push(reply.string()) === 3 })
      t.strictSame(got, ['1', '2', '3'])
      await t.rejects(nats.requestMany('many', '', { deadline: within(5_000), onReply: () => { throw new Error('mine') } }), { message: 'mine' })
      await t.rejects(nats.request('nobody', '', { deadline: within(5_000) }), { code: 'FAN_OUT_ERR_BROKER_AWAY', cause: { name: 'NoResponders' } })
      await t.rejects(nats.request('silent', '', { deadline: within(50) }), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /did not answer in time/ })

      const late: number[] = []
      const ask = async (ms: number): Promise<void> => { await nats.request('silent', '', { deadline: within(ms) }).catch(() => { late.push(ms) }) }
      void ask(60_000)
      await Promise.all([100, 50, 150].map(ask))
      t.strictSame(late.sort((a, b) => a - b), [50, 100, 150], 'each has its own deadline')
    })

    t.test('what is too large is refused, and harms nobody', async (t) => {
      await t.rejects(nats.deliver('a.1', ['x'.repeat(1001)], within(5_000)), { code: 'FAN_OUT_ERR_TOO_LARGE', statusCode: 413, message: /1000 bytes/ })
      await nats.deliver('a.1', ['x'.repeat(1000)], within(5_000))
      await until(() => heard.length === 4)
      t.strictSame(events, ['connected'])
    })

    t.test('when the link breaks, what is under way fails at once, and nothing is sent later', async (t) => {
      const asked = nats.request('silent', '', { deadline: within(60_000) })
      const rejected = t.rejects(asked, { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /link to NATS broke/ })
      await server.kill()
      await rejected
      t.equal(nats.serverInfo, undefined)
      t.throws(() => nats.publish('a.1', 'too late'), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
      await t.rejects(nats.deliver('a.1', ['too late'], within(60_000)), { code: 'FAN_OUT_ERR_BROKER_AWAY' })
      await t.rejects(nats.reach(within(600)), { code: 'FAN_OUT_ERR_BROKER_AWAY', cause: { message: /refused/i } })
      await until(() => events.length === 2)
      await server.start()
      await nats.untilWhole(within(5_000))
      await nats.deliver('a.1', ['again'], within(5_000))
      await until(() => heard.includes('again'))
      t.notOk(heard.includes('too late'))
      t.strictSame(events, ['connected', 'disconnected', 'connected'])
    })

    t.test('a link that has fallen silent is given up, with all that was written to it', async (t) => {
      server.pause()
      // More than the kernel takes.
      const given = Array.from({ length: 10_000 }, () => 'x'.repeat(1000))
      await t.rejects(nats.deliver('b', given, within(60_000)), { message: /link to NATS broke/ })
      await t.rejects(nats.reach(within(50)), { cause: { message: /no answer within 2000 ms/ } })
      server.resume()
      await nats.untilWhole(within(10_000))
      await nats.flush(within(5_000))
      t.strictSame(events.slice(3), ['disconnected', 'connected'])
    })

    t.test('once ended a subscription is silent, on the next link too', async (t) => {
      subscription.unsubscribe()
      const before = heard.length
      await nats.deliver('a.1', ['x'], within(5_000))
      t.equal(heard.length, before)
      const { connections } = await server.ask('/connz?subs=1')
      t.equal(connections.find(({ name }: { name: string }) => name === 'fastify-fan-out').subscriptions, 1, 'the silent one')
    })
  })
}

test('rights: what NATS refuses is told at once, and only to whom it is about', async (t) => {
  const rights = (subscribe: string): string => `authorization { users: [{ user: u, password: p, permissions: {
    publish: ["ok.>"], subscribe: ${subscribe}, allow_responses: true } }] }`
  const server = await NatsServer.start(t, { config: rights('["ok.>", "later"]') })
  const { nats, events } = connection(t, server.url.replace('//', '//u:p@'))
  await nats.open(within(5_000))
  const heard: Msg[] = []
  const [ok, later, no] = ['ok.1', 'later', 'no'].map((subject) => nats.subscribe(subject, (message) => heard.push(message)))
  await Promise.all([
    ok!.confirmed(within(5_000)),
    later!.confirmed(within(5_000)),
    t.rejects(no!.confirmed(within(60_000)), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /NATS refuses: .*Subscription to "no"/i })
  ])
  await Promise.all([
    nats.deliver('ok.1', ['1'], within(5_000)),
    t.rejects(nats.deliver('no', ['1'], within(60_000)), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /NATS refuses: .*Publish to "no"/i }),
    t.rejects(nats.request('ok.1', '', { deadline: within(60_000) }), { message: /NATS refuses: .*_INBOX/i })
  ])
  await nats.flush(within(5_000))
  t.strictSame(events, ['connected'])
})

test('more is subscribed to than NATS allows: that is told, and once there is room again it is taken', async (t) => {
  const server = await NatsServer.start(t, { config: 'max_subscriptions: 3' })
  const { nats, events } = connection(t, server.url)
  await nats.open(within(5_000))
  const heard: string[] = []
  const subscribe = (subject: string): ReturnType<typeof nats.subscribe> => nats.subscribe(subject, (message) => heard.push(message.subject))
  const taken = ['a', 'b', 'c'].map(subscribe)
  await Promise.all(taken.map((subscription) => subscription.confirmed(within(5_000))))
  await t.rejects(subscribe('d').confirmed(within(5_000)), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /NATS refuses: .*maximum subscriptions exceeded/i })
  taken[0]!.unsubscribe()
  await subscribe('d').confirmed(within(5_000))
  for (const subject of ['a', 'b', 'c', 'd']) await nats.deliver(subject, ['1'], within(5_000))
  await until(() => heard.length === 3)
  t.strictSame(heard, ['b', 'c', 'd'])
  t.strictSame(events, ['connected'])
})

test('it is the subscription for answers that is one too many: who asks is told, and the next is answered', async (t) => {
  const server = await NatsServer.start(t, { config: 'max_subscriptions: 2' })
  const admin = await server.admin()
  admin.subscribe('echo', { callback: (_, message) => { message.respond(message.data) } })
  await admin.flush()
  const { nats } = connection(t, server.url)
  await nats.open(within(5_000))
  await nats.subscribe('a', () => {}).confirmed(within(5_000))
  const joined = nats.subscribe('b', () => {}).confirmed(within(5_000))
  const asked = nats.request('echo', 'hello', { deadline: within(60_000) })
  await Promise.all([
    t.rejects(joined, { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /NATS refuses: .*maximum subscriptions exceeded/i }),
    t.rejects(asked, { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /NATS refuses: .*maximum subscriptions exceeded/i })
  ])
  t.equal((await nats.request('echo', 'hello', { deadline: within(5_000) })).string(), 'hello')
})

test('it comes to a server that allows fewer subscriptions than there are: it is not whole before they are taken', async (t) => {
  const [first, second] = [await NatsServer.start(t), await NatsServer.start(t, { config: 'max_subscriptions: 1' })]
  const proxy = await Proxy.start(t, first.port, () => new NatsReader(/^none$/))
  const { nats, events } = connection(t, `nats://127.0.0.1:${proxy.port}`)
  await nats.open(within(5_000))
  const heard: string[] = []
  const [a, b] = ['a', 'b'].map((subject) => nats.subscribe(subject, (message) => heard.push(message.subject)))
  await Promise.all([a!.confirmed(within(5_000)), b!.confirmed(within(5_000))])
  proxy.point(second.port)
  await until(() => events.length > 1)
  await t.rejects(nats.untilWhole(within(1_500)), { code: 'FAN_OUT_ERR_BROKER_AWAY', cause: { message: /NATS refuses: .*maximum subscriptions exceeded/i } })
  a!.unsubscribe()
  await nats.untilWhole(within(5_000))
  await nats.deliver('b', ['1'], within(5_000))
  await until(() => heard.length > 0)
  t.strictSame(heard, ['b'])
})

test('it is connected to whatever is the time that it takes', async (t) => {
  const server = await NatsServer.start(t)
  await server.kill()
  const { nats, events } = connection(t, server.url)
  await t.rejects(nats.open(within(300)), { code: 'FAN_OUT_ERR_BROKER_AWAY', message: /not reached in time: .*refused/i })
  t.strictSame(events, [])
  const opened = nats.open(within(10_000))
  await server.start()
  await opened
  t.strictSame(events, ['connected'])
})

test('why it cannot be opened', async (t) => {
  const server = await NatsServer.start(t, { config: 'authorization { token: secret }' })
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  const other = createServer((socket) => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') }).listen(0, '127.0.0.1')
  t.teardown(() => { silent.close(); other.close() })
  await Promise.all([once(silent, 'listening'), once(other, 'listening')])
  const at = (server: typeof silent): string => `nats://127.0.0.1:${(server.address() as { port: number }).port}`
  for (const [url, message] of [
    [server.url, /authorization violation/i],
    [server.url.replace('//', '//wrong@'), /authorization violation/i],
    [`${server.url}?tls=true`, /tls/i],
    [`nats://127.0.0.1:${await freePort()}`, /refused/i],
    [at(silent), /no answer within 2000 ms/],
    [at(other), /no NATS server/]
  ] as const) {
    const { nats } = connection(t, url)
    await t.rejects(nats.open(within(url === at(silent) ? 3_500 : 1_000)), { code: 'FAN_OUT_ERR_BROKER_AWAY', message }, url)
    await nats.close()
  }
  await t.rejects(connection(t, `${server.url}?creds=/nowhere`).nats.open(within(60_000)), { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /\?creds cannot be read \(ENOENT\)/ })
  const { nats } = connection(t, server.url.replace('//', '//secret@'))
  await nats.open(within(5_000))
})

test('a link that breaks before it is whole may have carried something already, and breaks too', async (t) => {
  const links: Socket[] = []
  let subscribed = 0
  const server = createServer((socket) => {
    socket.write('INFO {"version":"2.9.10","max_payload":1000,"headers":true}\r\n')
    socket.on('error', () => {}).on('data', (data) => {
      if (!links.includes(socket)) links.push(socket)
      for (const line of data.toString().split('\r\n')) {
        if (line.startsWith('SUB')) subscribed++
        if (line !== 'PING') continue
        // The second link has subscribed again, and nobody is told whether that was taken.
        if (subscribed === 2 && socket === links[1]) socket.destroy()
        else socket.write('PONG\r\n')
      }
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { nats, events } = connection(t, `nats://127.0.0.1:${(server.address() as { port: number }).port}`)
  await nats.open(within(5_000))
  await nats.subscribe('a', () => {}).confirmed(within(5_000))
  links[0]!.destroy()
  await until(() => subscribed === 3)
  await nats.untilWhole(within(5_000))
  t.strictSame(events, ['connected', 'disconnected', 'disconnected', 'connected'])
})

test('on a cluster it finds the other servers by itself, and what is sent by way of them comes from the first on', async (t) => {
  const cluster = await NatsCluster.start(t)
  const [first, second] = cluster.nodes as [NatsServer, NatsServer, NatsServer]
  const [one, other] = [connection(t, first.url), connection(t, second.url)]
  await Promise.all([one.nats.open(within(5_000)), other.nats.open(within(5_000))])
  for (let i = 0; i < 50; i++) {
    const heard: string[] = []
    await one.nats.subscribe(`a.${i}`, (message) => { heard.push(message.string()) }).confirmed(within(5_000))
    await other.nats.deliver(`a.${i}`, ['1'], within(5_000))
    await until(() => heard.length === 1)
  }
  await first.kill()
  await one.nats.deliver('b', ['1'], within(5_000)).catch(() => {})
  await one.nats.untilWhole(within(10_000))
  t.not(one.nats.serverInfo?.port, first.port)
  t.strictSame(one.events, ['connected', 'disconnected', 'connected'])
})

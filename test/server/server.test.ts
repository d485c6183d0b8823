import { createHash } from 'node:crypto'
import Fastify from 'fastify'
import { SignJWT } from 'jose'
import { test } from 'tap'
import { addHealth } from '../../lib/server/health.js'
import { buildServer } from '../../lib/server/server.js'
import { readSettings } from '../../lib/server/settings.js'
import { KEY, until } from './helpers.js'
import type { Test } from 'tap'

const SECRET = 'a secret that is long enough for HS256'

async function build (t: Test, env: Record<string, string> = {}) {
  const app = await buildServer(readSettings({ FAN_OUT_PUBLISH_KEY: KEY, ...env }))
  t.teardown(() => app.close())
  await app.ready()
  const publish = (room: string, headers: Record<string, string> = { authorization: `Bearer ${KEY}` }) => app.inject({
    method: 'POST', url: `/rooms/${encodeURIComponent(room)}`, headers: { 'content-type': 'application/json', ...headers }, body: '1'
  })
  return { app, publish }
}

test('health: live always, ready as the rooms are', async (t) => {
  const { app } = await build(t)
  t.equal((await app.inject('/health/live')).statusCode, 200)
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 200)
  t.equal(ready.headers['cache-control'], 'no-store')

  const away = Fastify().decorate('rooms', { ready: false } as never)
  addHealth(away)
  t.teardown(() => away.close())
  t.equal((await away.inject('/health/live')).statusCode, 200)
  t.equal((await away.inject('/health/ready')).statusCode, 503)
})

test('ready falls before the server leaves', async (t) => {
  const { app } = await build(t)
  await app.rooms.drain({ over: 0 })
  t.equal((await app.inject('/health/ready')).statusCode, 503)
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

test('metrics: the rooms\' counts and the process\'s', async (t) => {
  const { app, publish } = await build(t)
  let heard = 0
  const sub = await app.rooms.subscribe('demo', {}, () => { heard++ })
  t.equal((await publish('demo')).statusCode, 200)
  await until(() => heard === 1, 'the message is delivered')

  await app.inject('/metrics')
  const stats = app.rooms.stats()
  const response = await app.inject('/metrics')
  t.match(response.headers['content-type'], 'text/plain; version=0.0.4')
  const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(response.body)?.[1])
  for (const name of ['published', 'received', 'delivered', 'gaps', 'repairs', 'slow'] as const) {
    t.equal(value(`fan_out_${name}_total`), stats[name], `${name}: a total, not one more for each scrape`)
  }
  t.ok(stats.published >= 1 && stats.delivered >= 1)
  t.equal(value('fan_out_ready'), 1)
  t.equal(value('fan_out_rooms'), stats.rooms)
  t.equal(value('fan_out_subscriptions'), stats.subscriptions)
  t.equal(value('fan_out_connections{transport="websocket"}'), 0)
  t.equal(value('fan_out_connections{transport="events"}'), 0)
  t.ok(value('process_resident_memory_bytes') > 0)
  for (const [, name] of response.body.matchAll(/^# TYPE (fan_out_\w+)/gm)) t.match(response.body, `# HELP ${name} `)
  await sub.close()
})

test('the page: one document, and a policy that allows its own script and style only', async (t) => {
  const { app } = await build(t)
  const response = await app.inject('/')
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], 'text/html; charset=utf-8')
  const policy = String(response.headers['content-security-policy'])
  t.match(policy, "default-src 'none'")
  t.notMatch(policy, /unsafe|\*/)

  const inline = [...response.body.matchAll(/<(script|style)[^>]*>([^]*?)<\/\1>/g)]
  t.equal(inline.length, 2)
  for (const [, tag, text = ''] of inline) {
    t.match(policy, `${tag}-src 'sha256-${createHash('sha256').update(text).digest('base64')}';`)
    t.ok(text.length > 1000, `the ${tag} is in the page`)
  }
  t.notMatch(response.body, /\son\w+=|\sstyle=|innerHTML|(?:src|href)="(?!data:)/, 'nothing that the policy refuses')
  t.match(response.body, 'data-tokens="unused"')
})

test('a name of 200 bytes fits into an address, however it is encoded', async (t) => {
  const { publish } = await build(t)
  t.equal((await publish('语'.repeat(66) + 'ab')).statusCode, 200)
  t.equal((await publish('语'.repeat(66) + 'abc')).statusCode, 400)
})

test('without a token secret everyone may subscribe, and only the key publishes', async (t) => {
  const { app, publish } = await build(t)
  t.equal((await app.inject('/rooms/demo/history')).statusCode, 200)
  t.equal((await publish('demo', {})).statusCode, 401)
  t.equal((await publish('demo', { authorization: 'Bearer wrong' })).statusCode, 401)
  t.equal((await app.inject('/rooms/demo/presence')).statusCode, 401)
  const presence = await app.inject({ url: '/rooms/demo/presence', headers: { authorization: `Bearer ${KEY}` } })
  t.equal(presence.statusCode, 200)
  t.same(presence.json().members, [])
})

test('with one, subscribers need a token for the room', async (t) => {
  const { app, publish } = await build(t, { FAN_OUT_TOKEN_SECRET: SECRET })
  const token = await new SignJWT({ sub: 'ada', rooms: ['chat:*'] }).setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET))
  const history = async (room: string, bearer?: string) => (await app.inject({
    url: `/rooms/${room}/history`, headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
  })).statusCode

  t.equal(await history('chat:1'), 401)
  t.equal(await history('chat:1', 'no-token'), 401)
  t.equal(await history('chat:1', token), 200)
  t.equal(await history('news', token), 403)
  t.equal((await app.inject(`/rooms/chat:1/history?access_token=${token}`)).statusCode, 200, 'for those who can set no header')

  t.equal((await publish('chat:1', { authorization: `Bearer ${token}` })).statusCode, 403, 'a token publishes nothing')
  t.equal((await publish('chat:1', {})).statusCode, 401)
  t.equal((await publish('chat:1')).statusCode, 200, 'the key does')
  t.equal((await app.inject({ url: '/rooms/chat:1/presence', headers: { authorization: `Bearer ${token}` } })).statusCode, 403)
  t.match((await app.inject('/')).body, 'data-tokens="needed"')
})

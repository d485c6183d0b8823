import type { Test } from 'tap'
import type { Client } from '../helpers.js'
import type { Outcome } from './stage.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { until } from '../helpers.js'
import { RedisServer } from '../redis-server.js'
import { Stage } from './stage.js'

// Nothing is kept here, so what is lost stays lost: a gap has to stand where it would be.

async function start (t: Test, redis: RedisServer): Promise<Stage> {
  return await Stage.start(t, redis.port, { clients: 8, scheme: 'redis+pubsub' })
}

interface Heard { sender: string, number: number, index: number }

/** Messages by their sender, with their place among a client's frames. */
function heardBy (client: Client): Heard[] {
  return client.frames.flatMap((frame, index) => frame.type === 'message' ? [{ ...split(frame['id']), index }] : [])
}

function split (id: string): { sender: string, number: number } {
  const [sender, number] = id.split('-') as [string, string]
  return { sender, number: Number(number) }
}

/** Acknowledged messages that a client did not receive, and that no gap stands for in their place. */
function silent (stage: Stage, client: Client): string[] {
  const heard = heardBy(client)
  const gaps = client.frames.flatMap(({ type }, index) => type === 'gap' ? [index] : [])
  return stage.acknowledged.map(({ id }) => id as string).filter((id) => {
    const { sender, number } = split(id)
    const of = heard.filter((one) => one.sender === sender)
    if (of.some((one) => one.number === number)) return false
    const before = of.findLast((one) => one.number < number)?.index ?? -1
    const after = of.find((one) => one.number > number)?.index ?? Infinity
    return !gaps.some((index) => index > before && index < after)
  })
}

/** Waits until nobody misses anything untold; then nothing came twice, out of its sender's order, or under another's id. */
async function check (t: Test, stage: Stage, timeout = 5_000): Promise<void> {
  const began = performance.now()
  await until(() => stage.clients.every((client) => silent(stage, client).length === 0), `nothing lost in silence; ${stage.state()}`, timeout)
  t.comment(`healed in ${Math.round(performance.now() - began)} ms: ${stage.outcomes.length} published, ${stage.acknowledged.length} acknowledged; ${stage.state()}`)
  const texts = new Map(stage.acknowledged.map(({ id, text }) => [id, text]))
  let [twice, disorder, strange] = [0, 0, 0]
  for (const client of stage.clients) {
    const last = new Map<string, number>()
    for (const { sender, number } of heardBy(client)) {
      if (number === last.get(sender)) twice++
      if (number < (last.get(sender) ?? 0)) disorder++
      last.set(sender, number)
    }
    for (const { id, data } of client.of('message')) if ((texts.get(id) ?? data) !== data) strange++
  }
  t.same({ twice, disorder, strange }, { twice: 0, disorder: 0, strange: 0 })
}

function gapsOf (clients: Client[]): number[] {
  return clients.map((client) => client.of('gap').length)
}

/** Everybody got this, after which nothing is on its way. */
async function arrives (stage: Stage, count: number): Promise<void> {
  const outcomes = await stage.publish(count)
  await until(() => stage.clients.every((client) => outcomes.every(({ text }) => client.of('message').some(({ data }) => data === text))), `${count} messages to arrive`)
}

/** Messages reach everybody again: until the links are back, they may be lost. */
async function goesOn (stage: Stage): Promise<void> {
  await until(async () => {
    const [{ text }] = await stage.publish(1) as [Outcome]
    const got = (client: Client): boolean => client.of('message').some(({ data }) => data === text)
    return await until(() => stage.clients.every(got), 'a message to arrive', 200).then(() => true, () => false)
  })
}

test('the Pub/Sub connection of one server is killed: its clients are told, the others are not, and it goes on', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  await arrives(stage, 6)
  stage.servers[0]!.proxy.cut('live')
  const [its, others] = [0, 1].map((server) => stage.clients.filter((_, i) => i % 2 === server)) as [Client[], Client[]]
  await until(() => its.every((client) => client.of('gap').length > 0), 'a gap, with no message to wake anybody')
  await arrives(stage, 6)
  t.same(gapsOf(its), its.map(() => 1), 'one gap each')
  t.same(gapsOf(others), others.map(() => 0))
  await check(t, stage)
  t.equal(stage.acknowledged.length, 12)
})

test('Pub/Sub connections are killed in the middle of traffic, over and over, then silence', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  const stop = stage.traffic()
  for (let i = 0; i < 5; i++) {
    await sleep(150)
    await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  }
  await stop()
  await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await check(t, stage)
})

test('messages are dropped on healthy connections: a gap comes before the next', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  // The very first as well: nobody has heard of their senders. Just after joining nobody could tell.
  await sleep(200)
  for (let i = 0; i < 10; i++) {
    stage.each((proxy) => proxy.drop(1))
    await stage.publish(2)
    await stage.publish(2)
  }
  await arrives(stage, 2)
  t.ok(gapsOf(stage.clients).every((count) => count > 0), 'all were told')
  await check(t, stage)
})

test('the last message is dropped, then silence: a gap within a heartbeat or so', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  await arrives(stage, 4)
  let told: Client[] = []
  // What was dropped may have been a count instead.
  while (told.length === 0) {
    stage.each((proxy) => proxy.drop(1))
    const [{ text }] = await stage.publish(1) as [Outcome]
    const published = performance.now()
    const hasGap = (client: Client): boolean => client.of('gap').length > 0
    await until(() => stage.clients.every((client) => hasGap(client) || client.of('message').some(({ data }) => data === text)), 'the message, or a gap', 3_000)
    told = stage.clients.filter(hasGap)
    t.comment(`${told.length} told after ${Math.round(performance.now() - published)} ms`)
  }
  await check(t, stage)
})

test('Redis is restarted in the middle of traffic', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  const stop = stage.traffic()
  for (let i = 0; i < 3; i++) {
    await sleep(200)
    await redis.kill()
    await redis.start()
  }
  await stop()
  await goesOn(stage)
  t.ok(gapsOf(stage.clients).every((count) => count > 0), 'all were told')
  await check(t, stage)
})

test('links break in the middle of traffic, over and over', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  const stop = stage.traffic()
  for (let i = 0; i < 12; i++) {
    await sleep(100)
    stage.servers[i % 2]!.proxy.cut(i % 3 === 0 ? 'all' : i % 3 === 1 ? 'commands' : 'live')
  }
  await stop()
  await check(t, stage)
  t.equal(stage.refused.length, 0)
})

test('a reply is lost after its message was published: it is not published twice, and nobody is told anything', async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  await arrives(stage, 2)
  for (let i = 0; i < 5; i++) {
    for (const server of stage.servers) {
      const lost = server.proxy.loseReply(/^\*1\r\n\$0\r\n/)
      const [, [outcome]] = await Promise.all([lost, stage.publish(1, server)])
      t.equal(outcome!.error, undefined)
    }
  }
  await arrives(stage, 2)
  t.same(gapsOf(stage.clients), stage.clients.map(() => 0))
  await check(t, stage)
})

test('half-open links: no bytes, no close, for 6 s', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  const stop = stage.traffic(50)
  await sleep(300)
  stage.each((proxy) => proxy.stall())
  const [outcome] = await stage.publish(1)
  t.match(outcome!.error, /BROKER_AWAY/)
  t.ok(outcome!.took < 5_500, `refused after ${Math.round(outcome!.took)} ms`)
  await sleep(1_000)
  stage.each((proxy) => proxy.flow())
  await sleep(1_000)
  await stop()
  await goesOn(stage)
  t.ok(gapsOf(stage.clients).every((count) => count > 0), 'all were told')
  await check(t, stage)
})

test('the live link alone falls silent', { timeout: 60_000 }, async (t) => {
  const redis = await RedisServer.start(t)
  const stage = await start(t, redis)
  await arrives(stage, 4)
  stage.each((proxy) => proxy.stall('live'))
  await stage.publish(4)
  await check(t, stage, 8_000)
  t.ok(gapsOf(stage.clients).every((count) => count === 1), 'one gap each')
})

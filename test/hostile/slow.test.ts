import type { Test } from 'tap'
import type { RawClient } from './raw.js'
import { test } from 'tap'
import { connect, newRoom, openStream, until } from '../helpers.js'
import { ChildServer } from './child.js'
import { dial, openRaw } from './raw.js'

const KiB = 1024
const MiB = 1024 * KiB
const COUNT = 8_192
const PUBLISHED = COUNT * 8 * KiB

/** A client that has read its first frame or event, and reads no more. */
async function open (t: Test, kind: string, url: string, room: string): Promise<RawClient> {
  if (kind === 'websocket') {
    const client = await openRaw(t, url, `/rooms?room=${room}`)
    await client.message({ type: 'subscribed' })
    client.socket.pause()
    return client
  }
  const client = await dial(t, url)
  let text = ''
  client.socket.on('data', (chunk) => { text += String(chunk) })
  client.write(`GET /rooms/${room}/events HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => text.includes('event: subscribed'))
  client.socket.pause()
  return client
}

for (const kind of ['websocket', 'events'] as const) {
  test(`${PUBLISHED / MiB} MiB published past a client that never reads (${kind})`, async (t) => {
    const server = await ChildServer.start(t)
    const room = newRoom()
    // Warm, with as much as comes later: the code is compiled, the heap and its buffers have their size, and the window is full.
    await server.publish(room, COUNT, 8 * KiB)
    const client = await open(t, kind, server.url, room)

    const bystander = await connect(t, server.url, `/rooms?room=${room}`)
    await bystander.frame({ type: 'subscribed' })
    const record: number[] = []
    let latest = ''
    let longest = 0
    let last = performance.now()
    bystander.websocket.on('message', (data) => {
      const { n, id } = { ...JSON.parse(String(data)).data, id: JSON.parse(String(data)).id }
      bystander.frames.length = 0
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
      latest = id
      record.push(n)
    })

    const before = await server.memory()
    last = performance.now()
    let most = 0
    for (let part = 0; part < 8; part++) {
      await server.publish(room, COUNT / 8, 8 * KiB)
      most = Math.max(most, (await server.memory()).held)
    }
    await until(() => record.length === COUNT)
    t.same(record, Array.from({ length: COUNT }, (_, i) => i % (COUNT / 8)), 'the other client got all, in order, once')
    t.ok(longest < 2_000, `and waited ${Math.round(longest)} ms for one at most`)

    const after = await server.memory()
    t.comment(`${kind}: holds ${((most - before.held) / MiB).toFixed(1)} MiB more at most, rss ${((after.rss - before.rss) / MiB).toFixed(1)} MiB more`)
    t.ok(most - before.held < 32 * MiB, 'little more memory is held')
    t.ok(after.rss - before.rss < 32 * MiB, 'nor has the process grown')
    await until(async () => (await server.stats()).slow === 1)
    client.socket.resume()
    if (kind === 'websocket') t.ok([4408, 1006].includes(await client.close()))
    else await until(() => client.ended)

    // It comes back with the last cursor that it has read; here with one that the window still holds.
    const back = kind === 'websocket' ? await connect(t, server.url, `/rooms?room=${room}&since=${latest}`) : undefined
    const stream = kind === 'events' ? await openStream(t, `${server.url}/rooms/${room}/events`, { 'last-event-id': latest }) : undefined
    await server.publish(room, 3, 1)
    await back?.frame({ type: 'message', data: { n: 2, pad: 'c' } })
    await stream?.event({ data: JSON.stringify({ n: 2, pad: 'c' }) })
    const got = back?.of('message').map(({ data }) => data.n) ?? stream?.events.slice(1).map(({ data }) => JSON.parse(data).n)
    t.same(got, [0, 1, 2], 'it resumes')
  })
}

import { test } from 'tap'
import { until } from '../helpers.js'
import { joined, open, record, startScripted } from './helpers.js'

const message = (offset: number, epoch = 1): object => ({ type: 'message', room: 'r', id: `${epoch}-${offset}`, data: offset })
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const messages = (from: number, to: number): object[] => range(from, to).map((offset) => message(offset))
/** What a room was told: offsets, and gaps with where they lead to. */
const short = ({ events }: ReturnType<typeof record>): unknown[] => events.map(({ type, id, data }) => type === 'message' ? data : `${type} ${id}`)

/** Answers the first subscribe with the messages 1 to 5, and the second as is told, followed by `then`. */
async function resumed (t: Parameters<typeof startScripted>[0], answer: object, ...then: object[]): Promise<ReturnType<typeof record>> {
  const server = await startScripted(t, {
    frame (peer, { type, ref }, n) {
      if (type !== 'subscribe') return
      if (n === 0) {
        peer.send({ type: 'subscribed', room: 'r', id: '1-0', replayed: 0, ref }, ...messages(1, 5))
        setTimeout(() => peer.close(1001), 20)
      } else peer.send({ type: 'subscribed', room: 'r', ref, ...answer }, ...then, message(99))
    }
  })
  const room = open(t, server.url).join('r')
  const told = record(room)
  await until(() => told.data.at(-1) === 99)
  t.teardown(() => room.leave())
  return told
}

test('what a resume brings', async (t) => {
  t.test('a server that keeps its word', async (t) => {
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: true, replayed: 2 }, ...messages(6, 7))), [...range(1, 7), 99])
    t.strictSame(short(await resumed(t, { id: '1-8', recovered: false, replayed: 1 }, { type: 'gap', room: 'r', id: '1-8', reason: 'expired' }, message(9))), [...range(1, 5), 'gap 1-8', 9, 99])
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: false, replayed: 2 }, message(6), { type: 'gap', room: 'r', id: '1-8', reason: 'expired' }, message(9))), [...range(1, 6), 'gap 1-8', 9, 99], 'the hole lies further on')
    t.strictSame(short(await resumed(t, { id: '2-7', recovered: false, replayed: 0 }, { type: 'gap', room: 'r', id: '2-7', from: '1-3', reason: 'forked' }, message(8, 2))), [...range(1, 5), 'gap 2-7', 8, 99])
  })

  t.test('one that replays too much: nothing comes twice', async (t) => {
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: true, replayed: 9 }, ...messages(1, 5), ...messages(3, 7))), [...range(1, 7), 99])
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: true, replayed: 3 }, message(6), message(6), message(7), message(6))), [...range(1, 7), 99])
  })

  t.test('one that has lost something, and does not say so in a gap: there is one', async (t) => {
    t.strictSame(short(await resumed(t, { id: '1-8', recovered: false, replayed: 0 }, message(9))), [...range(1, 5), 'gap 1-8', 9, 99])
    t.strictSame(short(await resumed(t, { id: '1-8', replayed: 0 }, message(9))), [...range(1, 5), 'gap 1-8', 9, 99])
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: false, replayed: 1 }, message(6), message(9))), [...range(1, 6), 'gap 1-6', 9, 99])
    t.strictSame(short(await resumed(t, { id: '2-0', recovered: false, replayed: 0 }, message(1, 2))), [...range(1, 5), 'gap 2-0', 1, 99])
  })

  t.test('one that begins elsewhere than it was asked to: there is a gap, and nothing twice', async (t) => {
    t.strictSame(short(await resumed(t, { id: '1-8', recovered: true, replayed: 0 }, message(9))), [...range(1, 5), 'gap 1-8', 9, 99])
    t.strictSame(short(await resumed(t, { id: '1-2', recovered: true, replayed: 4 }, ...messages(3, 6))), [...range(1, 5), 'gap 1-5', 6, 99])
    t.strictSame(short(await resumed(t, { id: '1-5', recovered: true, replayed: 4 }, { type: 'gap', room: 'r', id: '1-2', reason: 'expired' }, ...messages(3, 6))), [...range(1, 5), 'gap 1-5', 6, 99])
  })

  t.test('a gap that is owed is owed still after the next break', async (t) => {
    const server = await startScripted(t, {
      frame (peer, { type, ref, since }, n) {
        if (type !== 'subscribe') return
        if (n === 0) peer.send({ type: 'subscribed', room: 'r', id: '1-0', replayed: 0, ref }, ...messages(1, 2))
        else if (n === 1) peer.send({ type: 'subscribed', room: 'r', id: '1-8', recovered: false, replayed: 0, ref })
        else peer.send({ type: 'subscribed', room: 'r', id: since, recovered: since === '1-8', replayed: 0, ref }, { type: 'gap', room: 'r', id: '1-8', reason: 'expired' }, message(9))
        if (n < 2) setTimeout(() => peer.close(1001), 20)
      }
    })
    const told = record(open(t, server.url).join('r'))
    await until(() => told.data.at(-1) === 9)
    t.strictSame(short(told), [1, 2, 'gap 1-8', 9])
  })
})

test('what comes before a room is subscribed to, or after it was left, is not for it', async (t) => {
  const server = await startScripted(t, {
    frame (peer, { type, ref }) {
      if (type === 'subscribe') peer.send(message(1), { type: 'subscribed', room: 'r', id: '1-7', replayed: 0, ref: 'other' }, message(2), { type: 'subscribed', room: 'r', id: '1-2', replayed: 0, ref }, message(3))
      else peer.send(message(4), { type: 'unsubscribed', room: 'r', code: 'FAN_OUT_ERR_UNSUBSCRIBED', reason: 'too late' }, message(5))
    }
  })
  const room = open(t, server.url).join('r')
  const told = record(room)
  await until(() => told.data.length === 1)
  room.leave()
  await server.peers[0]!.asked('unsubscribe')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.strictSame(short(told), [3])
  t.equal(room.error, undefined)
})

test('what is not known is ignored', async (t) => {
  const server = await startScripted(t, { frame () {} })
  const client = open(t, server.url)
  const room = client.join('r')
  const told = record(room)
  const published = client.publish('r', 1)
  const [peer] = await until(() => server.peers.length === 1 && server.peers) as typeof server.peers
  const { ref } = await peer!.asked('publish')
  peer!.send(
    { type: 'subscribed', room: 'r', id: '1-0', replayed: 0, ref: (await peer!.asked('subscribe'))['ref'], news: true },
    '5', '[]', '"text"', '{}', { type: 'novelty', room: 'r', id: 5 }, { type: 'novelty', ref }, { type: 'pong', ref: 77 },
    { type: 'message', room: 'unknown', id: '1-1', data: 1 }, { type: 'error', code: 'FAN_OUT_ERR_INTERNAL', message: 'of nothing' }, { type: 'error', room: 'r', code: 'X', message: 'of nothing' },
    { type: 'unsubscribed', room: 'unknown', code: 'FAN_OUT_ERR_UNSUBSCRIBED', reason: '' },
    { type: 'gap', room: 'r', id: '1-3', reason: 'never heard of' },
    // Fields that a platform's event would have of itself.
    { ...message(4), target: 1, currentTarget: 1, timeStamp: 1, isTrusted: true, bubbles: 1, preventDefault: 1 }
  )
  await until(() => told.events.length === 2)
  t.match(told.events, [{ type: 'gap', id: '1-3', reason: 'never heard of' }, { type: 'message', id: '1-4', data: 4 }])
  peer!.send({ type: 'published', room: 'r', id: '1-5', ref })
  t.strictSame(await published, { id: '1-5', duplicate: false })
  t.strictSame(client.states.map(({ state }) => state), ['open'])
})

const BROKEN: Array<[string, string | object]> = [
  ['no JSON', 'hello'], ['null', 'null'], ['a message without a cursor', { type: 'message', room: 'r', data: 1 }], ['a message with a cursor that is none', { type: 'message', room: 'r', id: '6', data: 1 }],
  ['a gap that leads nowhere', { type: 'gap', room: 'r', reason: 'expired' }], ['a gap from nowhere', { type: 'gap', room: 'r', id: '1-9', from: 'x', reason: 'forked' }], ['a snapshot of no position', { type: 'snapshot', room: 'r', data: 1 }],
  ['a welcome without limits', { type: 'welcome' }]
]

test('frames that are out of protocol end the connection, and the next goes on where the room stands', async (t) => {
  for (const [what, broken] of BROKEN) {
    t.test(what, async (t) => {
      const server = await startScripted(t, {
        frame (peer, { type, since, ref }, n) {
          if (type !== 'subscribe') return
          if (n === 0) peer.send({ type: 'subscribed', room: 'r', id: '1-0', replayed: 0, ref }, message(1), broken, message(2))
          else peer.send({ type: 'subscribed', room: 'r', id: since, recovered: true, replayed: 1, ref }, message(2))
        }
      })
      const told = record(open(t, server.url).join('r'))
      await until(() => told.data.length === 2)
      t.strictSame(short(told), [1, 2])
      t.equal((await server.peers[1]!.asked('subscribe'))['since'], '1-1')
    })
  }

  t.test('also while a hole is being filled', async (t) => {
    const server = await startScripted(t, {
      frame (peer, { type, since, ref }, n) {
        if (type !== 'subscribe') return
        if (n === 0) peer.send({ type: 'subscribed', room: 'r', id: '1-5', recovered: false, replayed: 0, ref }, { type: 'gap', room: 'r', id: '1-5', reason: 'overflow' }, { type: 'message', room: 'r', id: 'x', data: 1 })
        else peer.send({ type: 'subscribed', room: 'r', id: since, recovered: true, replayed: 5, ref }, ...messages(1, 6))
      },
      http (_, response) { setTimeout(() => response.end('{"complete":true,"more":false,"messages":[]}'), 30) }
    })
    const told = record(open(t, server.url).join('r', { since: '1-0', history: true }))
    await until(() => told.data.length === 6)
    t.strictSame(short(told), range(1, 6))
  })
})

test('a hole is filled up to the gap, in its place, and by nothing else', async (t) => {
  const page = (from: number, to: number, more: boolean): string => JSON.stringify({ complete: true, more, messages: range(from, to).map((n) => ({ id: `1-${n}`, data: n })) })
  const fill = async (pages: string[], ...after: object[]): Promise<unknown[]> => {
    const server = await startScripted(t, {
      frame (peer, { type, ref }) {
        if (type === 'subscribe') peer.send({ type: 'subscribed', room: 'r', id: '1-5', recovered: false, replayed: 0, ref }, { type: 'gap', room: 'r', id: '1-5', reason: 'overflow' }, ...after, message(99))
      },
      http: (_, response, n) => response.end(pages[n])
    })
    const told = record(open(t, server.url).join('r', { since: '1-0', history: true }))
    await until(() => told.data.at(-1) === 99)
    return short(told)
  }
  t.strictSame(await fill([page(1, 3, true), page(4, 9, false)], ...messages(6, 9)), [...range(1, 9), 99])
  t.strictSame(await fill([page(1, 5, true)], ...messages(6, 9)), [...range(1, 9), 99], 'no more is asked for than is missing')
  t.strictSame(await fill([page(1, 9, false)], { type: 'snapshot', room: 'r', id: '1-5', data: 0 }, ...messages(6, 9)), [...range(1, 5), 'snapshot 1-5', ...range(6, 9), 99])
  t.strictSame(await fill([page(1, 3, true), '{"complete":false,"more":true,"messages":[{"id":"1-4","data":4}]}']), [1, 2, 3, 'gap 1-5', 99])
  t.strictSame(await fill(['{"complete":true,"more":true,"messages":[]}']), ['gap 1-5', 99])
  t.strictSame(await fill(['{"complete":true,"more":fal']), ['gap 1-5', 99])
  t.strictSame(await fill([page(1, 4, true), page(5, 5, false)], { type: 'gap', room: 'r', id: '1-9', reason: 'expired' }), [...range(1, 5), 'gap 1-9', 99])
})

for (const [what, code, options] of [['breaks', undefined, {}], ['leaves', 1001, {}], ['is full', 1013, {}], ['wants another token', 4401, { token: () => 'x' }], ['is broken', 1011, {}]] as const) {
  test(`a server that ${what} at once, for ever, is asked less and less often`, async (t) => {
    const server = await startScripted(t, { open: (peer) => peer.close(code) })
    const client = open(t, server.url, options)
    const waits = (): Array<number | undefined> => client.states.filter(({ state }) => state === 'waiting').map(({ retryIn }) => retryIn)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    const tries = server.peers.length + server.requests.length
    t.ok(tries >= 1 && tries < 15, `${tries} in 1.5 s`)
    for (const [n, wait] of waits().entries()) t.ok(wait! <= 1_000 + 500 * 2 ** n, `${wait} ms`)
    t.not(client.state, 'closed')
  })
}

test('a WebSocket that cannot even be made leaves nothing behind', async (t) => {
  const made: unknown[] = []
  const { setInterval } = globalThis
  t.teardown(() => { globalThis.setInterval = setInterval })
  globalThis.setInterval = ((...about: Parameters<typeof setInterval>) => made.push(about)) as never
  const client = open(t, 'http://127.0.0.1:1', { WebSocket: class { constructor () { throw new Error('forbidden here') } } as never, transport: 'websocket' })
  await until(() => client.state === 'waiting')
  t.match(client.states, [{ state: 'waiting', error: { message: /forbidden here/ } }])
  t.strictSame(made, [])
})

test('how long it waits grows, is left to chance, and has an end', async (t) => {
  const { random } = Math
  t.teardown(() => { Math.random = random })
  Math.random = () => 0.999
  const server = await startScripted(t)
  const client = open(t, server.url, { WebSocket: class { constructor () { throw new Error('none') } } as never, transport: 'websocket' })
  await until(() => client.states.filter(({ state }) => state === 'waiting').length === 3, 'the third wait', 5_000)
  t.strictSame(client.states.filter(({ state }) => state === 'waiting').map(({ retryIn }) => Math.round(retryIn!)), [500, 999, 1998])
})

test('a room that cannot be had for now is asked for again, and one that is taken away meanwhile is not', async (t) => {
  let refusals = 0
  const server = await startScripted(t, {
    frame (peer, { type, room, ref }) {
      if (type !== 'subscribe') return
      if (room === 'later' && refusals++ > 0) return peer.send({ type: 'subscribed', room, id: '1-0', replayed: 0, ref })
      peer.send({ type: 'error', room, ref, code: room === 'later' ? 'FAN_OUT_ERR_BROKER_AWAY' : 'FAN_OUT_ERR_CANCELLED', message: 'not now' })
      // What the server ends while it is being joined, it says afterwards.
      if (room === 'taken') peer.send({ type: 'unsubscribed', room, code: 'FAN_OUT_ERR_UNSUBSCRIBED', reason: 'taken away' })
    }
  })
  const client = open(t, server.url)
  const [later, taken, left] = [client.join('later'), client.join('taken'), client.join('left')]
  await until(() => taken.state === 'left')
  t.match(taken.error, { code: 'FAN_OUT_ERR_UNSUBSCRIBED', message: 'taken away' })
  left.leave()
  await until(() => later.state === 'joined')
  t.strictSame(server.peers[0]!.frames.map(({ type, room }) => `${type} ${room}`), ['subscribe later', 'subscribe taken', 'subscribe left', 'subscribe later'])
})

test('an application may do anything in a listener', async (t) => {
  t.test('close when it waits', async (t) => {
    const server = await startScripted(t, { open: (peer) => peer.close(1011) })
    const client = open(t, server.url)
    client.addEventListener('state', ({ state }) => { if (state === 'waiting') client.close() })
    await until(() => client.state === 'closed')
    await new Promise((resolve) => setTimeout(resolve, 700))
    t.strictSame(client.states.map(({ state }) => state), ['waiting', 'closed'])
    t.equal(server.peers.length, 1)
  })

  t.test('close when it opens, or a room is cut off', async (t) => {
    const server = await startScripted(t)
    const opening = open(t, server.url)
    opening.addEventListener('state', ({ state }) => { if (state === 'open') opening.close() })
    await until(() => opening.state === 'closed')
    t.strictSame(opening.states.map(({ state }) => state), ['open', 'closed'])
    const client = open(t, server.url)
    const room = client.join('r')
    await joined(room)
    room.addEventListener('state', ({ state }) => { if (state === 'joining') client.close() })
    server.peers.at(-1)!.close()
    await until(() => client.state === 'closed')
    t.strictSame(client.states.map(({ state }) => state), ['open', 'closed'])
    t.equal(room.state, 'left')
  })

  t.test('join, publish and leave when the state changes', async (t) => {
    const server = await startScripted(t, {
      frame (peer, { type, room, ref }) {
        if (type === 'subscribe') peer.send({ type: 'subscribed', room, id: '1-0', replayed: 0, ref })
        if (type === 'publish') peer.send({ type: 'published', room, id: '1-1', ref })
      }
    })
    const client = open(t, server.url)
    client.join('a').addEventListener('state', ({ state }) => {
      if (state === 'joining') client.join('b')
    })
    let published: Promise<unknown> | undefined
    client.addEventListener('state', ({ state }) => {
      if (state === 'waiting') published = client.publish('c', 1)
      if (state === 'open' && server.peers.length === 2) client.join('d')
    })
    await until(() => server.peers[0]?.frames.length === 1)
    await until(() => client.state === 'open')
    server.peers[0]!.close(1001)
    await until(() => published)
    t.match(await published, { id: '1-1' })
    await until(() => server.peers[1]?.frames.length === 4)
    t.strictSame(server.peers[1]!.frames.map(({ type, room }) => `${type} ${room}`).sort(), ['publish c', 'subscribe a', 'subscribe b', 'subscribe d'])
  })

  t.test('leave at a message, a gap, or in the middle of a hole that is filled', async (t) => {
    const server = await startScripted(t, {
      frame (peer, { type, room, ref }) {
        if (type === 'subscribe') peer.send({ type: 'subscribed', room, id: '1-5', recovered: false, replayed: 0, ref }, ...room === 'hole' ? [{ type: 'gap', room, id: '1-5', reason: 'overflow' }] : [], ...messages(6, 9).map((frame) => ({ ...frame, room })))
      },
      http: (_, response) => response.end(JSON.stringify({ complete: true, more: false, messages: range(1, 5).map((n) => ({ id: `1-${n}`, data: n })) }))
    })
    const client = open(t, server.url)
    for (const [name, type, expected] of [['gap', 'gap', ['gap 1-5']], ['message', 'message', ['gap 1-5', 6]], ['hole', 'message', [1]]] as const) {
      const room = client.join(name, { since: '1-0', history: true })
      const told = record(room)
      room.addEventListener(type, () => room.leave())
      await until(() => room.state === 'left')
      await new Promise((resolve) => setTimeout(resolve, 30))
      t.strictSame(short(told), expected, name)
      t.equal(told.events.at(-1)?.id, room.id, 'it stands where it was told that it does')
    }
  })
})

test('a signal that outlives what it was given to is not held on to', async (t) => {
  const server = await startScripted(t, {
    frame (peer, { type, room, ref }) {
      if (type === 'subscribe') peer.send({ type: 'subscribed', room, id: '1-0', replayed: 0, ref })
      if (type === 'publish') peer.send(room === 'r' ? { type: 'published', room, id: '1-1', ref } : { type: 'error', room, code: 'FAN_OUT_ERR_FORBIDDEN', message: 'no', ref })
    }
  })
  const { signal } = new AbortController()
  const listeners = new Set<unknown>()
  Object.assign(signal, { addEventListener: (_type: string, listener: unknown) => listeners.add(listener), removeEventListener: (_type: string, listener: unknown) => listeners.delete(listener) })
  const client = open(t, server.url, { signal })
  for (let n = 0; n < 3; n++) {
    const room = client.join('r', { signal })
    await room.publish(1, { signal })
    await t.rejects(client.publish('x', 1, { signal }), { code: 'FAN_OUT_ERR_FORBIDDEN' })
    room.leave()
  }
  t.equal(listeners.size, 1, "the client's own is left")
  client.close()
  t.equal(listeners.size, 0)
})

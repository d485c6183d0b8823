import { test } from 'tap'
import { newRoom, startApp, until } from '../helpers.js'
import { joined, open, record, TRANSPORTS } from './helpers.js'

for (const transport of TRANSPORTS) {
  test(`rooms, over ${transport}`, async (t) => {
    const { app, url } = await startApp(t, { authorize: () => true, clientPublish: true, presence: true, history: { size: 10 } })

    t.test('messages come in order, with their cursors', async (t) => {
      const name = newRoom()
      const client = open(t, url, { transport })
      const room = client.join<{ n: number }>(name)
      t.match(room, { name, state: 'joining', id: undefined, error: undefined })
      const { events, states } = record(room)
      await joined(room)
      t.equal(client.state, 'open')
      t.equal(client.transport, transport)
      t.match(room.id, /^\d+-0$/, 'it stands at the top before anything is published')
      const published = await app.rooms.publishMany([1, 2, 3].map((n) => ({ room: name, data: { n } })))
      await until(() => events.length === 3)
      t.strictSame(events.map(({ type, id, data }) => ({ type, id, data })), [1, 2, 3].map((n, i) => ({ type: 'message', id: (published[i] as { id: string }).id, data: { n } })))
      t.equal(room.id, events[2]?.id)
      t.strictSame(states.map(({ state, recovered }) => [state, recovered]), [['joined', undefined]])
    })

    t.test('where it begins', async (t) => {
      const name = newRoom()
      const client = open(t, url, { transport })
      const ids: string[] = []
      for (let n = 1; n <= 5; n++) ids.push((await app.rooms.publish(name, n)).id)
      const begin = async (options: object): Promise<{ data: unknown[], recovered: boolean | undefined }> => {
        const room = client.join(name, options)
        const told = record(room)
        await joined(room)
        const { id } = await app.rooms.publish(name, 'last')
        await until(() => room.id === id)
        room.leave()
        return { data: told.data, recovered: told.states[0]?.recovered }
      }
      t.strictSame(await begin({}), { data: ['last'], recovered: undefined })
      t.strictSame(await begin({ replay: 2 }), { data: [5, 'last', 'last'], recovered: undefined })
      t.strictSame(await begin({ since: ids[3] as string }), { data: [5, 'last', 'last', 'last'], recovered: true })
      t.strictSame(await begin({ since: ids[3] as string, replay: 1 }), { data: [5, 'last', 'last', 'last', 'last'], recovered: true }, '`since` beats `replay`')
      t.strictSame((await begin({ since: 'earliest' })).data.slice(0, 5), [1, 2, 3, 4, 5])
    })

    t.test('a cursor of before the window is a gap, and all that is retained comes after it', async (t) => {
      const name = newRoom()
      const { id } = await app.rooms.publish(name, 0)
      for (let n = 1; n <= 20; n++) await app.rooms.publish(name, n)
      const room = open(t, url, { transport }).join(name, { since: id })
      const { events, states } = record(room)
      await until(() => events.length === 11)
      t.match(events[0], { type: 'gap', room: name, reason: 'expired' })
      t.strictSame(events.slice(1).map(({ data }) => data), [11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
      t.equal(states[0]?.recovered, false)
    })

    t.test('left and joined again at once, it is told nothing of before, and nothing twice', async (t) => {
      const name = newRoom()
      const client = open(t, url, { transport })
      for (let n = 0; n < 5; n++) {
        const room = client.join(name)
        const { events, states } = record(room)
        t.throws(() => client.join(name), { code: 'FAN_OUT_ERR_ALREADY_JOINED' })
        // Before the answer, and after it.
        if (n % 2 === 1) await joined(room)
        room.leave()
        room.leave()
        t.strictSame(states.map(({ state }) => state).slice(-1), ['left'])
        t.equal(states.filter(({ state }) => state === 'left').length, 1, 'it is left once')
        await app.rooms.publish(name, 'away')
        t.strictSame(events, [])
      }
      const room = client.join(name)
      const told = record(room)
      await joined(room)
      await app.rooms.publish(name, 'here')
      await until(() => told.data.length > 0)
      t.strictSame(told.data, ['here'])
      t.strictSame(told.states.map(({ state }) => state), ['joined'])
    })

    t.test('a room that is joined is left without a word of joining', async (t) => {
      const client = open(t, url, { transport })
      const [one, two] = [client.join(newRoom()), client.join(newRoom())]
      const states = [record(one).states, record(two).states]
      await Promise.all([joined(one), joined(two)])
      one.leave()
      client.close()
      t.strictSame(states.map((states) => states.map(({ state, error }) => [state, error])), [[['joined', undefined], ['left', undefined]], [['joined', undefined], ['left', undefined]]])
    })

    t.test('it is iterated, by several, until it is left', async (t) => {
      const name = newRoom()
      const room = open(t, url, { transport }).join<number>(name)
      const read = async (most: number): Promise<unknown[]> => {
        const read: unknown[] = []
        for await (const event of room) if (read.push(event.type === 'message' ? event.data : event.type) === most) break
        return read
      }
      const all = Promise.all([read(2), read(99)])
      await joined(room)
      for (let n = 1; n <= 3; n++) await app.rooms.publish(name, n)
      await until(() => room.id?.endsWith('-3'))
      room.leave()
      t.strictSame(await all, [[1, 2], [1, 2, 3]])
      t.strictSame(await read(1), [], 'nothing comes of a room that was left')
    })

    t.test('signals', async (t) => {
      const name = newRoom()
      const leaving = new AbortController()
      const silencing = new AbortController()
      const closing = new AbortController()
      const client = open(t, url, { transport, signal: closing.signal })
      const room = client.join(name, { signal: leaving.signal })
      const heard: unknown[] = []
      room.addEventListener('message', ({ data }) => heard.push(data), { signal: silencing.signal })
      room.addEventListener('message', ({ data }) => heard.push(['once', data]), { once: true })
      await joined(room)
      const told = record(room)
      await app.rooms.publish(name, 1)
      await until(() => told.data.length === 1)
      silencing.abort()
      await app.rooms.publish(name, 2)
      await until(() => told.data.length === 2)
      t.strictSame(heard, [1, ['once', 1]])
      leaving.abort()
      t.equal(room.state, 'left')
      t.equal(client.join(name, { signal: AbortSignal.abort() }).state, 'left')
      t.equal(client.join(name).state, 'joining', 'neither is in the way of another')
      await t.rejects(client.publish(name, 1, { signal: AbortSignal.abort(new Error('never mind')) }), { message: 'never mind' })
      closing.abort()
      t.equal(client.state, 'closed')
      t.equal(open(t, url, { transport, signal: closing.signal }).state, 'closed')
      t.throws(() => client.join(name), { code: 'FAN_OUT_ERR_CLOSED' })
      await t.rejects(client.publish(name, 1), { code: 'FAN_OUT_ERR_CLOSED' })
    })

    t.test('listeners', async (t) => {
      const name = newRoom()
      const room = open(t, url, { transport }).join<number>(name)
      const heard: unknown[] = []
      const object = { handleEvent ({ data }: { data: number }) { heard.push(['object', data, this === object]) } }
      const late = ({ data }: { data: number }): void => { heard.push(['late', data]) }
      const removed = ({ data }: { data: number }): void => { heard.push(['removed', data]) }
      function twice (this: unknown, { data }: { data: number }): void { heard.push(['twice', data, this === room]) }
      room.addEventListener('message', object)
      room.addEventListener('message', ({ data }) => {
        if (data === 1) room.addEventListener('message', late)
        room.removeEventListener('message', removed)
      })
      room.addEventListener('message', removed)
      room.addEventListener('message', twice)
      room.addEventListener('message', twice, { once: true })
      room.addEventListener('gap', twice as never)
      room.addEventListener('message', () => heard.push('aborted'), { signal: AbortSignal.abort() })
      const over = new AbortController()
      room.addEventListener('message', ({ data }) => {
        heard.push(['until', data])
        over.abort()
      }, over)
      await joined(room)
      for (const n of [1, 2]) await app.rooms.publish(name, n)
      await until(() => heard.some((entry) => Array.isArray(entry) && entry[0] === 'late'))
      t.strictSame(heard, [['object', 1, true], ['twice', 1, true], ['until', 1], ['object', 2, true], ['twice', 2, true], ['late', 2]])
    })

    t.test('what is stored and is no cursor, or cannot be read or written, is as none', async (t) => {
      const name = newRoom()
      const forbidden = (): never => { throw new DOMException('it is forbidden', 'SecurityError') }
      const storages = [
        ...['', 'null', '5', '1-', ' 1-1', '1-1-1', '{}', '[object Object]'].map((text) => ({ getItem: () => text, setItem: () => {} })),
        ...[5, {}, Promise.resolve('1-1')].map((odd) => ({ getItem: () => odd as never, setItem: () => {} })),
        { getItem: forbidden, setItem: () => {} }, { getItem: forbidden, setItem: forbidden }
      ]
      await app.rooms.publish(name, 0)
      const rooms = storages.map((storage) => open(t, url, { transport: 'websocket', storage }).join(name, { replay: 1 }))
      const told = rooms.map(record)
      await until(() => told.every(({ data }) => data.length === 1))
      await app.rooms.publish(name, 1)
      await until(() => told.every(({ data }) => data.length === 2))
      for (const { events, states } of told) {
        t.strictSame(events.map(({ type, data }) => [type, data]), [['message', 0], ['message', 1]])
        t.match(states, [{ state: 'joined', recovered: undefined }])
      }
      const client = open(t, url, { transport })
      for (const since of ['5', 'yesterday', '1-']) t.throws(() => client.join(name, { since }), TypeError, 'what the application gives has to be one')
      await joined(client.join(name))
    })

    t.test('one publishes, once under one key', async (t) => {
      const name = newRoom()
      const client = open(t, url, { transport })
      const room = client.join(name)
      const told = record(room)
      await joined(room)
      const first = await room.publish({ n: 1 }, { idempotencyKey: 'k' })
      t.match(first, { id: /^\d+-1$/, duplicate: false })
      t.strictSame(await client.publish(name, { n: 1 }, { idempotencyKey: 'k' }), { id: first.id, duplicate: true })
      await Promise.all([room.publish(null), room.publish('two')])
      await until(() => told.data.length === 3)
      t.strictSame(new Set(told.data), new Set([{ n: 1 }, null, 'two']))
      await t.rejects(room.publish(undefined), SyntaxError)
      await t.rejects(room.publish(1n), TypeError)
      t.equal((await room.history()).messages.length, 3)
    })

    t.test('what is retained is read, and who is there', async (t) => {
      const name = newRoom()
      const client = open(t, url, { transport })
      const room = client.join(name)
      await joined(room)
      for (let n = 1; n <= 4; n++) await app.rooms.publish(name, n)
      t.strictSame((await room.history({ limit: undefined as never, since: undefined as never })).messages.map(({ data }) => data), [1, 2, 3, 4])
      const page = await room.history({ limit: 2 })
      t.match(page, { room: name, complete: true, more: true })
      t.strictSame((await room.history({ since: page.id })).messages.map(({ data }) => data), [3, 4])
      t.strictSame((await room.history({ order: 'desc', limit: 1 })).messages.map(({ data }) => data), [4])
      t.match(await room.presence(), { room: name, count: 1 })
      await t.rejects(room.history({ limit: 5_000 }), { name: 'FanOutError', code: 'FAN_OUT_ERR_INVALID_REQUEST', status: 400 })
      await t.rejects(room.history({ signal: AbortSignal.abort() }), { name: 'AbortError' })
      const reading = room.history()
      client.close()
      await t.rejects(reading, { name: 'AbortError' })
    })
  })
}

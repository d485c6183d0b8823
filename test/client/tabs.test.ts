import type { Socket } from 'node:net'
import type { Test } from 'tap'
import type { Frame, LinkEvents, LinkOptions, Lost } from '../../client/types.js'
import { test } from 'tap'
import WebSocket from 'ws'
import { FanOutError } from '../../client/error.js'
import { connect, type Client } from '../../client/index.js'
import { sharedTabs } from '../../client/tabs.js'
import { newRoom, startApp, until } from '../helpers.js'
import { FakeLocks, installLocks } from './locks.js'

type Page = { id?: string, complete?: boolean, more?: boolean, messages?: Array<{ id: string, data: unknown }> }

/** What the tabs share: locks, and a server that does only what it is told. */
class World {
  readonly locks = new FakeLocks()
  /** The links to the server. */
  readonly wires: Array<{ events: LinkEvents, sent: Frame[], closed: boolean, options: LinkOptions }> = []
  /** What was asked over HTTP, and the answers. */
  readonly asked: string[] = []
  history: (path: string) => Page | Promise<Page> = () => ({})
  readonly #t: Test
  readonly #url = `http://${newRoom()}/rooms`

  constructor (t: Test) {
    this.#t = t
    installLocks(this.locks)
    t.teardown(() => installLocks(undefined))
  }

  get wire (): World['wires'][number] {
    return this.wires.at(-1)!
  }

  async tab ({ heartbeat = 60_000 } = {}): Promise<Tab> {
    const tab = new Tab()
    const open = sharedTabs()(async (options, events) => {
      const wire = { events, options, sent: [] as Frame[], closed: false }
      this.wires.push(wire)
      setTimeout(() => events.open())
      return { transport: 'websocket', send: (frame) => wire.sent.push(frame), probe () {}, close: () => { wire.closed = true } }
    })
    const options: LinkOptions = {
      url: this.#url,
      token: 'secret',
      transport: 'websocket',
      heartbeat,
      WebSocket: undefined,
      request: async (_room, path) => {
        this.asked.push(path)
        const page = await this.history(path)
        return new Response(JSON.stringify({ id: '1-0', complete: true, more: false, messages: [], ...page }))
      }
    }
    tab.link = await open(options, {
      open: () => { tab.opened = true },
      frame: (frame) => tab.frames.push(frame),
      lost: (why) => { tab.lost = why }
    })
    this.#t.teardown(() => tab.link.close())
    return tab
  }

  /** Tabs that are open; the first leads. */
  async tabs (count: number, options?: object): Promise<Tab[]> {
    const tabs: Tab[] = []
    for (let i = 0; i < count; i++) {
      tabs.push(await this.tab(options))
      await until(() => tabs[i]!.opened, 'the tab is open')
    }
    return tabs
  }

  /** The frame that the server has received, from the `skip`th such on. */
  async received (fields: object, skip = 0): Promise<Frame> {
    return await until(() => this.wire.sent.filter(matching(fields))[skip], `the server receives ${JSON.stringify(fields)}, not only ${JSON.stringify(this.wire.sent)}`)
  }

  say (frame: Frame): void {
    this.wire.events.frame(frame)
  }

  /** Puts a room on the wire, at a position. */
  async subscribed (tab: Tab, room: string, id: string, more: object = {}): Promise<void> {
    tab.link.send({ type: 'subscribe', room, ref: 'first' })
    const { ref } = await this.received({ type: 'subscribe', room })
    this.say({ type: 'subscribed', room, id, replayed: 0, ...more, ref })
    await tab.frame({ type: 'subscribed', room, ref: 'first' })
  }
}

class Tab {
  link!: Awaited<ReturnType<ReturnType<ReturnType<typeof sharedTabs>>>>
  opened = false
  lost: Lost | undefined
  readonly frames: Frame[] = []

  async frame (fields: object): Promise<Frame> {
    return await until(() => this.frames.find(matching(fields)), `a frame with ${JSON.stringify(fields)}, among ${JSON.stringify(this.frames)}`)
  }

  /** Of a room, in short. */
  told (room: string): string[] {
    return this.frames.filter((frame) => frame.room === room).map(({ type, id, recovered, code }) => [type, id, recovered, code].filter((part) => part !== undefined).join(' '))
  }
}

const matching = (fields: object) => (frame: Frame): boolean => Object.entries(fields).every(([name, value]) => frame[name] === value)
const message = (room: string, id: string): Frame => ({ type: 'message', room, id, data: id })
const entries = (...ids: string[]): Array<{ id: string, data: unknown }> => ids.map((id) => ({ id, data: id }))

test('where the platform has no Web Locks nothing is shared', (t) => {
  installLocks(undefined)
  const open = async (): Promise<never> => { throw new Error('unused') }
  t.equal(sharedTabs()(open), open)
  t.end()
})

test('nor where the page may not use them', async (t) => {
  const world = new World(t)
  world.locks.query = async () => { throw new Error('SecurityError') }
  const tabs = await world.tabs(2)
  t.equal(world.wires.length, 2)
  world.say({ type: 'welcome' })
  t.same(tabs.map(({ frames }) => frames.length), [0, 1])
})

test('one link for all, and to each the answers to what it has asked', async (t) => {
  const world = new World(t)
  const [a, b] = await world.tabs(2) as [Tab, Tab]
  t.equal(world.wires.length, 1)
  world.say({ type: 'welcome', protocol: 1 })
  await b.frame({ type: 'welcome' })
  const [c] = await world.tabs(1) as [Tab]
  await c.frame({ type: 'welcome' })
  t.equal(world.wires.length, 1)

  for (const tab of [a, b]) tab.link.send({ type: 'publish', room: 'r', data: tab === a ? 'a' : 'b', ref: 1 })
  const [ofA, ofB] = [await world.received({ data: 'a' }), await world.received({ data: 'b' })]
  t.not(ofA.ref, ofB.ref)
  world.say({ type: 'published', room: 'r', id: '1-1', ref: ofB.ref })
  world.say({ type: 'error', room: 'r', code: 'NO', message: 'no', ref: ofA.ref })
  await b.frame({ type: 'published', ref: 1 })
  await a.frame({ type: 'error', ref: 1 })
  t.same([a, b, c].map((tab) => tab.frames.length), [2, 2, 1], 'nobody else is told')

  b.link.send({ type: 'auth', token: 'fresh' })
  world.say({ type: 'authenticated', expiresAt: 5, ref: (await world.received({ type: 'auth' })).ref })
  await b.frame({ type: 'authenticated', expiresAt: 5 })
  c.link.send({ type: 'ping' })
  world.say({ type: 'pong', ref: (await world.received({ type: 'ping' })).ref })
  await a.frame({ type: 'pong' })
  t.notOk(a.frames.some(({ type }) => type === 'authenticated'), 'each renews its own')
})

test('a room is on the wire once, for as long as a tab has it', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  await world.subscribed(a, 'r', '1-5', { recovered: true })
  world.say(message('r', '1-6'))
  b.link.send({ type: 'subscribe', room: 'r', since: '1-6', ref: 7 })
  c.link.send({ type: 'subscribe', room: 'r', ref: 8 })
  t.match(await b.frame({ type: 'subscribed' }), { id: '1-6', recovered: true, ref: 7 })
  await c.frame({ type: 'subscribed', ref: 8 })
  world.say(message('r', '1-7'))
  await c.frame({ id: '1-7' })
  t.same(a.told('r'), ['subscribed 1-5 true', 'message 1-6', 'message 1-7'])
  t.same(b.told('r'), ['subscribed 1-6 true', 'message 1-7'])
  t.same(c.told('r'), ['subscribed 1-6', 'message 1-7'])
  t.same(world.asked, [], 'there was nothing to read')

  a.link.send({ type: 'unsubscribe', room: 'r' })
  c.link.send({ type: 'unsubscribe', room: 'r' })
  a.link.send({ type: 'publish', room: 'r', ref: 2 })
  await world.received({ type: 'publish' })
  world.say(message('r', '1-8'))
  await b.frame({ id: '1-8' })
  b.link.send({ type: 'unsubscribe', room: 'r' })
  await world.received({ type: 'unsubscribe' })
  t.equal(a.told('r').length, 3, 'nothing comes of a room that was left')
  t.same(world.wire.sent.map(({ type }) => type), ['subscribe', 'publish', 'unsubscribe'])
})

test('what a tab has missed it reads, while what follows waits', async (t) => {
  const world = new World(t)
  const [a, b] = await world.tabs(2) as [Tab, Tab]
  await world.subscribed(a, 'r', '1-5')
  world.say(message('r', '1-6'))
  let answer!: (page: Page) => void
  world.history = () => new Promise((resolve) => { answer = resolve })
  b.link.send({ type: 'subscribe', room: 'r', since: '1-3', ref: 1 })
  await until(() => world.asked.length === 1, 'it reads')
  world.say(message('r', '1-7'))
  await a.frame({ id: '1-7' })
  world.history = () => ({ id: '1-7', messages: entries('1-5', '1-6', '1-7') })
  answer({ id: '1-4', more: true, messages: entries('1-4') })
  await b.frame({ id: '1-7' })
  world.say(message('r', '1-8'))
  await b.frame({ id: '1-8' })
  t.same(b.told('r'), ['subscribed 1-3 true', 'message 1-4', 'message 1-5', 'message 1-6', 'message 1-7', 'message 1-8'])
  t.same(world.asked, ['/history?limit=1000&since=1-3', '/history?limit=1000&since=1-4'])
})

test('what it reads may reach beyond where the wire stands: nothing comes twice', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  // No message's position.
  await world.subscribed(a, 'r', '2-0')
  let answer!: (page: Page) => void
  world.history = () => new Promise((resolve) => { answer = resolve })
  b.link.send({ type: 'subscribe', room: 'r', since: '1-3', ref: 1 })
  await until(() => world.asked.length === 1, 'it reads')
  for (const id of ['2-1', '2-2']) world.say(message('r', id))
  await a.frame({ id: '2-2' })
  answer({ id: '2-1', messages: entries('1-4', '2-1') })
  await b.frame({ id: '2-2' })
  t.same(b.told('r'), ['subscribed 1-3 true', 'message 1-4', 'message 2-1', 'message 2-2'])
  // The server has sent the last one, and it has not come yet.
  world.history = () => ({ id: '2-3', messages: entries('2-2', '2-3') })
  c.link.send({ type: 'subscribe', room: 'r', since: '2-1', ref: 1 })
  await c.frame({ id: '2-2' })
  world.say(message('r', '2-3'))
  await c.frame({ id: '2-3' })
  world.say(message('r', '2-4'))
  await c.frame({ id: '2-4' })
  t.same(c.told('r'), ['subscribed 2-1 true', 'message 2-2', 'message 2-3', 'message 2-4'])
})

test('where what was missed is not there any more, or nothing is kept, there is one gap before all else', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  await world.subscribed(a, 'r', '1-9')
  world.history = () => ({ complete: false, id: '1-9', messages: entries('1-8', '1-9') })
  b.link.send({ type: 'subscribe', room: 'r', since: '1-3', ref: 1 })
  await b.frame({ id: '1-9' })
  t.same(b.told('r'), ['subscribed 1-7 false', 'gap 1-7', 'message 1-8', 'message 1-9'])
  // A broker without a window: its positions mean nothing elsewhere.
  world.history = () => ({ complete: false, id: '4-0' })
  c.link.send({ type: 'subscribe', room: 'r', since: '1-9', ref: 1 })
  await c.frame({ type: 'gap' })
  world.say(message('r', '1-10'))
  await c.frame({ id: '1-10' })
  t.same(c.told('r'), ['subscribed 1-9 false', 'gap 1-9', 'message 1-10'])
})

test('the last few, and the oldest', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  await world.subscribed(a, 'r', '1-9')
  world.history = () => ({ id: '1-9', messages: entries('1-9', '1-8') })
  b.link.send({ type: 'subscribe', room: 'r', replay: 2, ref: 1 })
  await b.frame({ id: '1-9' })
  t.same(b.told('r'), ['subscribed 1-7', 'message 1-8', 'message 1-9'])
  world.history = () => ({ id: '1-9', messages: entries('1-1', '1-9') })
  c.link.send({ type: 'subscribe', room: 'r', since: 'earliest', replay: 2, ref: 1 })
  await c.frame({ id: '1-9' })
  t.same(c.told('r'), ['subscribed 1-0', 'message 1-1', 'message 1-9'])
  t.same(world.asked, ['/history?order=desc&limit=2', '/history?limit=1000'])
})

test('a tab that may not read is refused, and one that cannot now comes again', async (t) => {
  const world = new World(t)
  const [a, b] = await world.tabs(2) as [Tab, Tab]
  await world.subscribed(a, 'r', '1-9')
  world.history = () => { throw new FanOutError('FAN_OUT_ERR_FORBIDDEN', 'no', 403) }
  b.link.send({ type: 'subscribe', room: 'r', since: '1-1', ref: 4 })
  await b.frame({ type: 'error', room: 'r', code: 'FAN_OUT_ERR_FORBIDDEN', ref: 4 })
  world.history = () => { throw Object.assign(new FanOutError('FAN_OUT_ERR_BROKER_AWAY', 'not now', 503), { retryAfter: 2_000 }) }
  b.link.send({ type: 'subscribe', room: 'r', since: '1-1', ref: 5 })
  t.match(await until(() => b.lost, 'it is lost'), { code: 1006, reason: 'not now', retryAfter: 2_000 })
  t.equal(a.lost, undefined)
  a.link.send({ type: 'unsubscribe', room: 'r' })
  await world.received({ type: 'unsubscribe' })
})

test('who subscribes a room that is being subscribed waits, and is next where that is refused', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  for (const tab of [a, b, c]) {
    tab.link.send({ type: 'subscribe', room: 'r', ref: 3 })
    // In this order.
    tab.link.send({ type: 'publish', room: 'x', data: 1, ref: 9 })
    await world.received({ type: 'publish' }, [a, b, c].indexOf(tab))
  }
  world.say({ type: 'error', room: 'r', code: 'NO', message: 'no', ref: (await world.received({ type: 'subscribe' })).ref })
  await a.frame({ type: 'error', ref: 3 })
  const { ref } = await world.received({ type: 'subscribe' }, 1)
  // Of a subscription before.
  world.say(message('r', '1-1'))
  world.say({ type: 'subscribed', room: 'r', id: '1-2', replayed: 0, ref })
  world.say(message('r', '1-3'))
  await c.frame({ id: '1-3' })
  t.same([a, b, c].map((tab) => tab.told('r')), [['error NO'], ['subscribed 1-2', 'message 1-3'], ['subscribed 1-2', 'message 1-3']])
  world.say({ type: 'unsubscribed', room: 'r', code: 'OUT', reason: 'out' })
  for (const tab of [b, c]) await tab.frame({ type: 'unsubscribed', code: 'OUT' })
  b.link.send({ type: 'subscribe', room: 'r', ref: 4 })
  await world.received({ type: 'subscribe' }, 2)
  t.pass('it is off the wire')
})

test('presence, when only a later tab asks for it', async (t) => {
  const world = new World(t)
  const [a, b, c] = await world.tabs(3) as [Tab, Tab, Tab]
  await world.subscribed(a, 'r', '1-5')
  const ask = async (tab: Tab, nth: number): Promise<Frame> => {
    tab.link.send({ type: 'subscribe', room: 'r', presence: true, ref: 2 })
    return await world.received({ type: 'subscribe' }, nth)
  }
  const first = await ask(b, 1)
  t.match(first, { since: '1-5', presence: true })
  world.say({ type: 'error', room: 'r', code: 'FORBIDDEN', message: 'no', ref: first.ref })
  await b.frame({ type: 'error', code: 'FORBIDDEN', ref: 2 })
  const without = await world.received({ type: 'subscribe' }, 2)
  t.match(without, { since: '1-5', presence: false })
  world.say({ type: 'subscribed', room: 'r', id: '1-5', recovered: true, replayed: 1, ref: without.ref })
  world.say(message('r', '1-6'))

  const second = await ask(c, 3)
  t.match(second, { since: '1-6', presence: true })
  world.say({ type: 'subscribed', room: 'r', id: '1-6', recovered: true, replayed: 0, ref: second.ref })
  world.say({ type: 'join', room: 'r', member: { connection: 'x' } })
  world.say(message('r', '1-7'))
  await a.frame({ id: '1-7' })
  await c.frame({ id: '1-7' })
  t.same(a.told('r'), ['subscribed 1-5', 'message 1-6', 'message 1-7'])
  t.same(c.told('r'), ['subscribed 1-6', 'join', 'message 1-7'])
})

test('when the connection is lost, all are told why; when the tab that leads goes, another leads', async (t) => {
  const world = new World(t)
  const [a, b] = await world.tabs(2) as [Tab, Tab]
  const why = { code: 4401, reason: 'expired', opened: true }
  world.wire.events.lost(why)
  for (const tab of [a, b]) t.same(await until(() => tab.lost, 'it is lost'), why)

  const [c, d, e] = await world.tabs(3) as [Tab, Tab, Tab]
  t.equal(world.wires.length, 2)
  c.link.close()
  for (const tab of [d, e]) t.match(await until(() => tab.lost, 'it is lost'), { code: 1001 })
  t.ok(world.wire.closed)
  t.equal(c.lost, undefined, 'which has closed it itself')

  const [f, g] = await world.tabs(2) as [Tab, Tab]
  t.equal(world.wires.length, 3)
  // As when the page of the one that leads is gone without a word: only its locks are released.
  const [leading] = world.locks.names.filter((name) => !/ tab /.test(name))
  world.wire.events.frame = () => {}
  world.locks.release(leading!)
  for (const tab of [f, g]) t.match(await until(() => tab.lost, 'it is lost'), { code: 1001 })
})

test('a tab that vanishes is unsubscribed', async (t) => {
  const world = new World(t)
  const [a] = await world.tabs(1) as [Tab]
  const mine = world.locks.names
  const [b] = await world.tabs(1) as [Tab]
  await world.subscribed(b, 'r', '1-5')
  world.locks.release(world.locks.names.find((name) => !mine.includes(name))!)
  await world.received({ type: 'unsubscribe', room: 'r' })
  t.equal(a.lost, undefined)
})

test('where the tab that leads is silent, it is put out of its place', async (t) => {
  const world = new World(t)
  const [a] = await world.tabs(1) as [Tab]
  const [b] = await world.tabs(1, { heartbeat: 200 }) as [Tab]
  world.say({ type: 'welcome', protocol: 1 })
  await world.received({ type: 'ping' })
  t.match(await until(() => b.lost, 'it is lost'), { code: 1006, opened: true })
  t.match(await until(() => a.lost, 'so is the one that led'), { code: 1001 })
  t.ok(world.wire.closed)
})

test('clients that come and go receive each message once and in order', async (t) => {
  installLocks(new FakeLocks())
  t.teardown(() => installLocks(undefined))
  const { app, url } = await startApp(t)
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => sockets.add(socket))
  const rooms = [newRoom(), newRoom()]
  const sent = new Map(rooms.map((room) => [room, 0]))
  const publish = async (): Promise<void> => {
    for (const room of rooms) {
      const n = sent.get(room)!
      sent.set(room, n + 1)
      await app.rooms.publish(room, n)
    }
  }

  /** Somebody who closes the page and opens it again. */
  const people = ['ann', 'bob', 'cem', 'dan'].map(() => {
    const stored = new Map<string, string>()
    const told = new Map(rooms.map((room) => [room, [] as unknown[]]))
    let client: Client | undefined
    const open = (): void => {
      client = connect(`${url}/rooms`, {
        share: sharedTabs(),
        WebSocket: WebSocket as never,
        storage: { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => { stored.set(key, value) } }
      })
      for (const name of rooms) {
        const room = client.join(name, stored.has(`fan-out ${url}/rooms ${name}`) ? {} : { since: 'earliest' })
        room.addEventListener('message', ({ data }) => told.get(name)!.push(data))
        room.addEventListener('gap', ({ reason }) => told.get(name)!.push(reason))
      }
    }
    const close = (): void => {
      client?.close()
      client = undefined
    }
    t.teardown(close)
    return { told, toggle: () => { if (client) close(); else open() }, open: () => { if (!client) open() } }
  })
  for (const person of people) person.toggle()
  for (let round = 0; round < 60; round++) {
    await publish()
    if (round % 3 === 0) people[Math.floor(Math.random() * people.length)]!.toggle()
    if (round % 20 === 10) for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
  }
  for (const person of people) person.open()
  await publish()
  for (const { told } of people) {
    for (const room of rooms) {
      await until(() => told.get(room)!.includes(sent.get(room)! - 1), 'the last message')
      t.same(told.get(room), Array.from({ length: sent.get(room)! }, (_, n) => n))
    }
  }
  t.ok(app.rooms.stats().connections.websocket <= 1)
})

import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { describe, expect, test } from 'tstyche'
import fanOut, { errors, fanOut as named } from '../index.js'
import type {
  AuthorizeContext, Broker, FanOutOptions, FanOutRooms, GapReason, History, Identity, Member, MessageEvent, PublishFailure, PublishResult,
  RoomEvent, Stats, Subscription
} from '../index.js'

const app = Fastify()
const { rooms } = app

describe('the plugin', () => {
  test('is registered like any other', () => {
    expect(fanOut).type.toBe(named)
    expect(app.register).type.toBeCallableWith(fanOut)
    expect(app.register).type.toBeCallableWith(fanOut, { broker: 'memory:', prefix: '/live', logLevel: 'warn' })
    expect(app.register).type.not.toBeCallableWith(fanOut, { brokre: 'memory:' })
    expect(app.register).type.not.toBeCallableWith(fanOut, { broker: 1 })
  })

  test('decorates the app', () => {
    expect<FastifyInstance['rooms']>().type.toBe<FanOutRooms>()
  })
})

describe('the options', () => {
  test('are all optional', () => {
    expect<object>().type.toBeAssignableTo<FanOutOptions>()
    expect<FanOutOptions>().type.toBeAssignableFrom({
      name: 'rooms',
      brokerOptions: { start: 'background' as const, startTimeout: 1, publishTimeout: 1 },
      history: { size: 1, maxAge: 1, bytes: 1 },
      idempotencyTtl: 1,
      publishKeys: [{ id: 'a', key: 'b' }, { id: 'c', key: 'd', rooms: ['chat:*'] }],
      queryToken: true,
      clientPublish: true,
      presence: true,
      compression: true,
      heartbeat: { interval: 1, timeout: 1 },
      linger: 0,
      close: { drain: 0, timeout: 1 },
      limits: { frame: 1, body: 1, batch: 1, roomsPerConnection: 1, framesPerSecond: 1, connections: 1, connectionsPerAddress: 1, queue: 1, firstFrame: 1, replay: 1 }
    })
  })

  test('a broker is named by a URL, or handed over', () => {
    expect<Broker>().type.toBeAssignableTo<FanOutOptions['broker']>()
    expect<string>().type.toBeAssignableTo<FanOutOptions['broker']>()
    expect<{ start (): void }>().type.not.toBeAssignableTo<FanOutOptions['broker']>()
  })

  test('origins', () => {
    expect<'same'>().type.toBeAssignableTo<FanOutOptions['origins']>()
    expect<'*'>().type.toBeAssignableTo<FanOutOptions['origins']>()
    expect<Array<string | RegExp>>().type.toBeAssignableTo<FanOutOptions['origins']>()
    expect<'any'>().type.not.toBeAssignableTo<FanOutOptions['origins']>()
  })

  test('authenticate and authorize', () => {
    type Authenticate = NonNullable<FanOutOptions['authenticate']>
    expect<Parameters<Authenticate>[0]>().type.toBe<FastifyRequest>()
    expect<(request: FastifyRequest) => Promise<null>>().type.toBeAssignableTo<Authenticate>()
    expect<() => { user: string, info: { name: string }, expiresAt: number }>().type.toBeAssignableTo<Authenticate>()
    expect<() => { user: number }>().type.not.toBeAssignableTo<Authenticate>()
    expect<() => undefined>().type.not.toBeAssignableTo<Authenticate>()
    expect<object>().type.toBeAssignableTo<Identity>()

    type Authorize = NonNullable<FanOutOptions['authorize']>
    expect<(context: AuthorizeContext) => boolean>().type.toBeAssignableTo<Authorize>()
    expect<() => Promise<boolean>>().type.toBeAssignableTo<Authorize>()
    expect<() => string>().type.not.toBeAssignableTo<Authorize>()
    expect<AuthorizeContext['action']>().type.toBe<'subscribe' | 'publish' | 'presence' | 'control'>()
  })
})

describe('app.rooms', () => {
  test('publish', () => {
    expect(rooms.publish('news', { hello: 1 })).type.toBe<Promise<PublishResult>>()
    expect(rooms.publish).type.toBeCallableWith('news', null, { idempotencyKey: 'one' })
    expect(rooms.publish).type.not.toBeCallableWith('news')
    expect(rooms.publish).type.not.toBeCallableWith('news', 1, { key: 'one' })
    expect<PublishResult>().type.toBe<{ room: string, id: string, duplicate: boolean }>()
  })

  test('publishMany answers a result or a failure for each', async () => {
    const results = await rooms.publishMany([{ room: 'news', data: 1, idempotencyKey: 'one' }])
    expect(results).type.toBe<Array<PublishResult | PublishFailure>>()
    const [first] = results
    if (first !== undefined && 'error' in first) expect(first.error.code).type.toBe<string>()
    else expect(first?.id).type.toBe<string | undefined>()
  })

  test('subscribe, with options or without', () => {
    expect(rooms.subscribe('news', () => {})).type.toBe<Promise<Subscription>>()
    expect(rooms.subscribe).type.toBeCallableWith('news', { since: '1-1', signal: AbortSignal.abort() }, async () => {})
    expect(rooms.subscribe).type.not.toBeCallableWith('news')
    expect(rooms.subscribe).type.not.toBeCallableWith('news', { since: 1 }, () => {})

    rooms.subscribe<{ hello: number }>('news', { replay: 10 }, (event) => {
      expect(event).type.toBe<RoomEvent<{ hello: number }>>()
      if (event.type === 'message') {
        expect(event).type.toBe<MessageEvent<{ hello: number }>>()
        expect(event.data.hello).type.toBe<number>()
      } else if (event.type === 'gap') {
        expect(event.reason).type.toBe<GapReason>()
        expect(event).type.not.toHaveProperty('data')
      }
    })
    rooms.subscribe('news', (event) => {
      // Nobody knows what a room carries: what is not told is unknown, never any.
      if (event.type === 'message') expect(event.data).type.toBe<unknown>()
    })
    expect<GapReason>().type.toBe<'expired' | 'epoch' | 'overflow' | 'forked'>()
  })

  test('history, presence and control', () => {
    expect(rooms.history('news')).type.toBe<Promise<History>>()
    expect(rooms.history<number>('news', { since: '1-1', limit: 10, order: 'desc' })).type.toBe<Promise<History<number>>>()
    expect(rooms.history).type.not.toBeCallableWith('news', { order: 'newest' })
    expect(rooms.presence('news')).type.toBe<Promise<Member[]>>()
    expect(rooms.unsubscribe('news', { user: 'ada' }, 'moved')).type.toBe<Promise<void>>()
    expect(rooms.disconnect({ user: 'ada' })).type.toBe<Promise<void>>()
    expect(rooms.drain({ over: 1_000 })).type.toBe<Promise<void>>()
  })

  test('what it tells of itself', () => {
    expect(rooms.stats()).type.toBe<Stats>()
    expect(rooms.ready).type.toBe<boolean>()
    expect<FanOutRooms>().type.not.toBeAssignableFrom<{ ready: true }>()
  })
})

test('errors can be told apart by their code', () => {
  expect(new errors.Closing().code).type.toBe<string & 'FAN_OUT_ERR_CLOSING'>()
  expect(new errors.Closing()).type.toBeAssignableTo<Error>()
})

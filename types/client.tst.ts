import { describe, expect, test } from 'tstyche'
import { connect, FanOutError } from '../client/index.js'
import type { Client, ClientState, ConnectOptions, History, JoinOptions, Published, Room, RoomGap, RoomMessage, RoomPresence, RoomSnapshot, RoomStateEvent, Transport } from '../client/index.js'

declare const client: Client
declare const room: Room<{ n: number }>

describe('the client', () => {
  test('is connected by a URL, and options that are all optional', () => {
    expect(connect('/rooms')).type.toBe<Client>()
    expect(connect).type.toBeCallableWith(new URL('http://localhost/rooms'), { token: 'x', heartbeat: 1, transport: 'auto' as const, signal: new AbortController().signal })
    expect(connect).type.toBeCallableWith('/rooms', { token: async () => null })
    expect(connect).type.not.toBeCallableWith('/rooms', { tokn: 'x' })
    expect<ConnectOptions['transport']>().type.toBe<'auto' | Transport | undefined>()
    expect(client.state).type.toBe<ClientState>()
  })

  test('joins rooms of a type, and publishes', () => {
    expect(client.join<{ n: number }>('r')).type.toBe<Room<{ n: number }>>()
    expect(client.join('r')).type.toBe<Room<unknown>>()
    expect<JoinOptions>().type.toBeAssignableFrom({ since: 'earliest', replay: 1, presence: true, history: true, signal: new AbortController().signal })
    expect(client.publish('r', 1, { idempotencyKey: 'k' })).type.toBe<Promise<Published>>()
    expect(client).type.not.toHaveProperty('refs')
  })
})

describe('a room', () => {
  test('has typed events', () => {
    room.addEventListener('message', (event) => expect(event).type.toBe<RoomMessage<{ n: number }>>())
    room.addEventListener('gap', (event) => expect(event).type.toBe<RoomGap>())
    room.addEventListener('snapshot', (event) => expect(event).type.toBe<RoomSnapshot>())
    room.addEventListener('leave', (event) => expect(event).type.toBe<RoomPresence>())
    room.addEventListener('state', (event) => expect(event).type.toBe<RoomStateEvent>(), { once: true })
    expect(room.addEventListener).type.not.toBeCallableWith('nothing', () => {})
  })

  test('is iterated, and read', async () => {
    for await (const event of room) {
      expect(event).type.toBe<RoomMessage<{ n: number }> | RoomGap | RoomSnapshot>()
      if (event.type === 'message') expect(event.data.n).type.toBe<number>()
    }
    expect(room.history({ limit: 1, order: 'desc' })).type.toBe<Promise<History<{ n: number }>>>()
    expect(room.id).type.toBe<string | undefined>()
  })
})

test('an error has a code', () => {
  expect(new FanOutError('FAN_OUT_ERR_CLOSED', 'closed').code).type.toBe<string>()
})

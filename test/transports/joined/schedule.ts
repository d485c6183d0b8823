import fc from 'fast-check'

export interface Setting {
  over: 'tcp' | 'unix'
  compression: boolean
  slice: number
  queue: number
  rooms: number
  clients: Client[]
}

export interface Client {
  /** One that is `deflate` offers permessage-deflate. */
  kind: 'plain' | 'deflate' | 'events'
  /** Where it is from the start; an event stream in one of them at most. */
  rooms: number[]
}

export interface Payload {
  /** About how many bytes its JSON has; below 20 it is a bare number. */
  size: number
  pad: 'x' | 'ü' | '𝄞' | 'noise'
}

/** Clients and rooms are counted from 0, round and round. */
export type Step =
  /** All at once: in one turn, or in one batch. */
  | { do: 'publish', how: 'turn' | 'batch', entries: Array<Payload & { room: number }> }
  | { do: 'subscribe', client: number, room: number, since: 'nothing' | 'last' | 'earliest' }
  | { do: 'unsubscribe', client: number, room: number }
  | { do: 'ask', client: number, room: number, pings: number, payload: Payload }
  | { do: 'pause' | 'read' | 'leave' | 'return', client: number }
  | { do: 'wait', turns: number }

const payload: fc.Arbitrary<Payload> = fc.record({
  size: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 300 }) },
    { weight: 2, arbitrary: fc.integer({ min: 900, max: 20_000 }) },
    // Where the header of a frame grows, and above.
    { weight: 1, arbitrary: fc.integer({ min: 65_400, max: 65_560 }) },
    { weight: 1, arbitrary: fc.integer({ min: 66_000, max: 150_000 }) }
  ),
  pad: fc.constantFrom('x', 'ü', '𝄞', 'noise')
})

const client = fc.nat(7)
const room = fc.nat(3)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('publish' as const), how: fc.constantFrom('turn', 'batch'), entries: fc.array(fc.tuple(payload, room).map(([payload, room]) => ({ ...payload, room })), { minLength: 1, maxLength: 12 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('wait' as const), turns: fc.nat(6) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('subscribe' as const), client, room, since: fc.constantFrom('nothing', 'last', 'earliest') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unsubscribe' as const), client, room }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('ask' as const), client, room, pings: fc.nat(3), payload }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('pause', 'read', 'read', 'leave', 'return', 'return'), client }) }
)

export const schedule: fc.Arbitrary<{ setting: Setting, steps: Step[] }> = fc.record({
  setting: fc.record({
    over: fc.constantFrom('unix', 'unix', 'tcp'),
    compression: fc.boolean(),
    slice: fc.constantFrom(1, 2, 5, 1_000),
    queue: fc.constantFrom(1_000, 64 * 1024, 1024 * 1024),
    rooms: fc.integer({ min: 1, max: 4 }),
    clients: fc.array(fc.record({ kind: fc.constantFrom('plain', 'deflate', 'events'), rooms: fc.uniqueArray(room, { maxLength: 4 }) }), { minLength: 1, maxLength: 8 })
  }),
  steps: fc.array(step, { minLength: 10, maxLength: 80, size: 'max' })
})

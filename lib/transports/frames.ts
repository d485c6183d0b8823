import type { Entry, Format } from '../message.js'
import type { Cursor } from '../cursor.js'
import { constants, deflateRawSync } from 'node:zlib'
import { Ajv } from 'ajv'
import { formatCursor, parseCursor } from '../cursor.js'
import { errors } from '../errors.js'
import { parseJson, rawMembers } from '../json.js'
import { isRoomName } from '../room-name.js'

type Ref = string | number

/** A frame of a client, found valid; `room` is a room's name, `since` a cursor. */
export type ClientFrame = { ref?: Ref | undefined } & (
  | { type: 'subscribe', room: string, since?: Cursor | 'earliest' | undefined, replay?: number | undefined, presence?: boolean | undefined }
  | { type: 'unsubscribe', room: string }
  | { type: 'publish', room: string, text: string, idempotencyKey?: string | undefined }
  | { type: 'auth', token: string }
  | { type: 'ping' }
)

const string = { type: 'string' }
const ref = { type: ['string', 'number'], maxLength: 64 }
const frame = (required: string[], properties: object): object => ({ type: 'object', required, properties: { ref, ...properties } })

// Fields that are not named here are ignored: a newer client may send them.
const schemas: Record<ClientFrame['type'], object> = {
  subscribe: frame(['room'], { room: string, since: { type: ['string', 'null'] }, replay: { type: 'integer', minimum: 0 }, presence: { type: 'boolean' } }),
  unsubscribe: frame(['room'], { room: string }),
  publish: frame(['room', 'data'], { room: string, data: {}, idempotencyKey: string }),
  auth: frame(['token'], { token: { type: 'string', minLength: 1 } }),
  ping: frame([], {})
}

const ajv = new Ajv({ strict: false })
const validators = new Map(Object.entries(schemas).map(([type, schema]) => [type, ajv.compile(schema)]))

/** Thrown for what is no frame at all: the connection is closed with 1008. */
export class ProtocolViolation extends Error {}

/** Reads a text frame. Throws a `ProtocolViolation` where it is not JSON, and what `checkFrame` throws. */
export function readFrame (text: string): ClientFrame {
  let value: unknown
  try {
    value = parseJson(text).value
  } catch {
    throw new ProtocolViolation('a frame must be JSON')
  }
  return checkFrame(value as Record<string, unknown>, text)
}

/**
 * What a frame asks for, without what else it says. `text` is its JSON, which only a publish needs. Throws a
 * `ProtocolViolation` where it is not an object with a type, and one of the errors of `lib/errors.ts` where it is a frame
 * that cannot be obeyed; that error then has the frame's `ref` and `room`.
 */
export function checkFrame (value: Record<string, unknown>, text = ''): ClientFrame {
  if (typeof value !== 'object' || value === null || typeof value['type'] !== 'string') throw new ProtocolViolation('a frame must be an object with a type')
  const type = value['type']
  const ref = isRef(value['ref']) ? value['ref'] : undefined
  const room = isRoomName(value['room']) ? value['room'] : undefined
  try {
    const validate = validators.get(type)
    if (validate === undefined) throw new errors.InvalidFrame(`its type is none of ${[...validators.keys()].join(', ')}`)
    if (!validate(value)) throw new errors.InvalidFrame(ajv.errorsText(validate.errors, { dataVar: type }))
    if (value['ref'] !== undefined && ref === undefined) throw new errors.InvalidFrame('ref must be a number, or a string of up to 64 bytes')
    if ('room' in (schemas[type as 'publish'] as { properties: object }).properties && room === undefined) throw new errors.InvalidRoom()
    const { idempotencyKey, replay, presence, token } = value
    if (type === 'publish') return { type, room, text: rawMembers(text).get('data'), idempotencyKey, ref } as ClientFrame
    if (type === 'subscribe') return { type, room, since: sinceOf(value), replay, presence, ref } as ClientFrame
    return { type, room, token, ref } as ClientFrame
  } catch (error) {
    throw Object.assign(error as Error, { ref, room })
  }
}

function sinceOf ({ since }: Record<string, unknown>): Cursor | 'earliest' | undefined {
  // Null is what a client's storage has for a cursor that it never stored.
  if (since === undefined || since === null) return undefined
  const cursor = since === 'earliest' ? since : parseCursor(since)
  if (cursor === undefined) throw new errors.InvalidCursor()
  return cursor
}

function isRef (value: unknown): value is Ref {
  return typeof value === 'number' || (typeof value === 'string' && Buffer.byteLength(value) <= 64)
}

/** A text frame of a server (RFC 6455, section 5.2: final, not masked). */
export function textFrame (payload: string): Buffer {
  const length = Buffer.byteLength(payload)
  const header = headerLength(length)
  const buffer = Buffer.allocUnsafe(header + length)
  writeHeader(buffer, 0x81, length)
  buffer.write(payload, header, 'utf8')
  return buffer
}

function headerLength (length: number): number {
  return length < 126 ? 2 : length < 65536 ? 4 : 10
}

function writeHeader (buffer: Buffer, firstByte: number, length: number): void {
  buffer[0] = firstByte
  if (length < 126) {
    buffer[1] = length
  } else if (length < 65536) {
    buffer[1] = 126
    buffer.writeUInt16BE(length, 2)
  } else {
    buffer[1] = 127
    buffer.writeBigUInt64BE(BigInt(length), 2)
  }
}

function entryText (entry: Entry): string {
  if (entry.type === 'gap') return JSON.stringify({ type: 'gap', ...entry.toJSON() })
  return `{"type":"message","room":${JSON.stringify(entry.room)},"id":"${formatCursor(entry.id)}","data":${entry.text}}`
}

/** Entries as WebSocket frames. */
export const frames: Format = {
  encode: (entry) => textFrame(entryText(entry))
}

// Below it deflate gains nothing; ws has the same default.
const COMPRESSED_FROM = 1024

/**
 * Entries as frames of permessage-deflate (RFC 7692) with no context carried over, and so the same for every socket. The
 * window has the full 15 bits: a client that asked for less is sent `frames`, which the extension allows at any time.
 */
export const compressedFrames: Format = {
  encode (entry) {
    const payload = Buffer.from(entryText(entry))
    if (payload.length < COMPRESSED_FROM) return entry.encode(frames)
    // Without the empty block that a flush ends with (section 7.2.1).
    const deflated = deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
    const header = Buffer.allocUnsafe(headerLength(deflated.length))
    writeHeader(header, 0xC1, deflated.length)
    return Buffer.concat([header, deflated])
  }
}

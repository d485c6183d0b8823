import type { Pending } from '../publisher.js'
import type { Stored } from './api.js'
import { createHash } from 'node:crypto'

/**
 * Messages of a room that are published at once are stored as one, a line each (they are JSON on one line, so it is NDJSON):
 * each costs the server and its clients a fraction of what it would by itself. Its `Nats-Msg-Id` ends in their number.
 *
 * A message's place in the stream is the sequence that it is stored at, where it is alone or the last of a pack; the others
 * of a pack come before it, in steps of 1/64. So whatever is true of sequences is true of places, and an offset is a place in 64ths:
 * numbers up to 2^53, of which that leaves sequences up to 2^47.
 */
const STEPS = 64

// Of one pack. A window counts packs, so that it may hold that many times what was asked for.
const MESSAGES = 32
const BYTES = 32 * 1024

const PACKED = /\+(\d+)$/

/** What is stored as one message of JetStream. Its messages share its fate, and so one with an idempotency key, which has one of its own, is alone. */
export interface Pack {
  texts: string[]
  /** As many. */
  settles: Array<Pending['settle']>
  messageId: string
  keyed: boolean
}

/** A message that was stored. `time` in ms since 1970. */
export interface Placed { place: number, time: number, text: string }

export function offsetOf (place: number): number {
  return place * STEPS
}

export function placeOf ({ offset }: { offset: number }): number {
  return offset / STEPS
}

/** The places of so many messages that are stored as one. */
export function placesOf (sequence: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => sequence - (count - 1 - i) / STEPS)
}

/**
 * Where a reader stands whom a hole has led up to what is stored after a sequence. No message can have that place, so that it is
 * never where the reader stood before; and who comes back to it has missed nothing, if it is the next that is still there.
 */
export function behind (sequence: number): number {
  return sequence + 1 / STEPS
}

export function endsHole (place: number): boolean {
  return place === behind(Math.floor(place))
}

/** In their order. Of several messages none has more than `most` bytes. */
export function pack (room: string, batch: readonly Pending[], most: number): Pack[] {
  const packs: Array<Pack & { bytes: number }> = []
  const limit = Math.min(BYTES, most)
  for (const { text, token, idempotencyKey, settle } of batch) {
    const bytes = Buffer.byteLength(text) + 1
    const last = packs.at(-1)
    if (idempotencyKey !== undefined) packs.push({ texts: [text], settles: [settle], messageId: keyId(room, idempotencyKey), keyed: true, bytes })
    else if (last === undefined || last.keyed || last.texts.length === MESSAGES || last.bytes + bytes > limit) packs.push({ texts: [text], settles: [settle], messageId: token, keyed: false, bytes })
    else {
      last.texts.push(text)
      last.settles.push(settle)
      last.bytes += bytes
    }
  }
  return packs.map(({ texts, settles, messageId, keyed }) => ({ texts, settles, keyed, messageId: texts.length > 1 ? `${messageId}+${texts.length}` : messageId }))
}

/** Ids are the stream's, and keys the room's. */
function keyId (room: string, key: string): string {
  return `k:${createHash('sha256').update(`${room}\0${key}`).digest('base64url')}`
}

/** The texts of what was stored as one. */
export function textsOf ({ text, messageId }: { text: string, messageId: string }): string[] {
  const count = Number(PACKED.exec(messageId)?.[1] ?? 1)
  const texts = count > 1 ? text.split('\n') : [text]
  // Whoever else may publish to the stream may call it what they like.
  return texts.length === count && count <= MESSAGES ? texts : [text]
}

export function unpack ({ sequence, time, ...stored }: Stored): Placed[] {
  const texts = textsOf(stored)
  const places = placesOf(sequence, texts.length)
  return texts.map((text, i) => ({ place: places[i] as number, time, text }))
}

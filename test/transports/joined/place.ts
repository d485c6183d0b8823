import type { Client } from './schedule.js'
import type { Reader, Session } from './reader.js'
import assert from 'node:assert/strict'
import { SocketReader } from './reader.js'

/** A user: one client after the other, each going on where the one before was cut off. */
export class Place {
  readonly kind: Client['kind']
  readonly readers: Reader[] = []

  constructor ({ kind }: Client) {
    this.kind = kind
  }

  get reader (): Reader | undefined {
    return this.readers.at(-1)
  }

  take (reader: Reader): void {
    this.readers.push(reader)
  }

  leave (): void {
    this.reader?.leave()
  }

  /** The rooms that it has yet to come back to, and what to ask for. */
  get lost (): Array<[room: string, since: string]> {
    return this.reader?.closed === true ? this.reader.sessions.filter(({ cut }) => cut).map((session) => [session.room, standing(session)]) : []
  }

  /** Whether it waits for nothing, but for messages. */
  get settled (): boolean {
    const { reader } = this
    if (reader === undefined || reader.closed) return this.lost.length === 0
    return reader instanceof SocketReader ? reader.welcomed && reader.waiting === 0 : reader.sessions.length > 0
  }

  /** What is still to come, where each room's history is `truth`. */
  behind (truth: Map<string, string[]>): string[] {
    return (this.reader?.sessions ?? []).filter(({ open }) => open).flatMap((session) => {
      const top = truth.get(session.room)?.at(-1)
      return top === undefined || standing(session) === top ? [] : [`${session.room} stands at ${standing(session)} of ${top}`]
    })
  }
}

function standing ({ ids, from }: Session): string {
  return ids.at(-1) ?? from
}

/** What follows `from` in the history, without a hole, and nothing else. */
export function assertInOrder ({ from, ids }: Session, history: string[]): void {
  // Before the first message a room's position is of no message.
  const begin = from.endsWith('-0') ? 0 : history.indexOf(from) + 1
  assert.ok(from.endsWith('-0') || begin > 0, `${from} is no position`)
  assert.deepEqual(ids, history.slice(begin, begin + ids.length), 'the order of the room')
}

import type { Redis } from 'ioredis'
import type { Cursor } from '../../lib/cursor.js'
import type { Window } from '../../lib/brokers/broker.js'
import type { Caller, Nodes } from './scripts.js'
import { randomInt } from 'node:crypto'
import { judge, parseSegments, windowOf } from '../../lib/brokers/redis/lineage.js'
import { positions, strange } from '../../lib/brokers/redis/positions.js'
import { publish } from '../../lib/brokers/redis/publish.js'
import { read } from '../../lib/brokers/redis/read.js'
import { formatCursor, parseCursor } from '../../lib/cursor.js'

type Dump = [meta: Buffer | null, stream: Buffer | null]

const HOUR = 3_600_000

/** The scripts themselves, each node a Redis. Replication is done by hand, at the moments that the schedule says. */
export class RedisNodes implements Nodes {
  readonly #redis: readonly Redis[]
  readonly #size: number
  readonly #room: string
  readonly #past: Dump[][]
  #calls = 0

  constructor (redis: readonly Redis[], size: number, room: string) {
    this.#redis = redis
    this.#size = size
    this.#room = room
    this.#past = redis.map(() => [[null, null]])
  }

  get #meta (): string { return `{${this.#room}}:m` }
  get #stream (): string { return `{${this.#room}}:s` }

  async #script (node: number, script: string, keys: string[], { seen, suspicion, detects }: Caller, args: Array<string | number>): Promise<any> {
    const [before, redis] = [await this.#lineage(node), this.#redis[node]!]
    const [epoch, identity, brought] = [randomInt(1, 2 ** 48 - 1), detects ? '' : '-', seen.map(formatCursor).join(' ')]
    const shared = script === positions
      ? ['PUBLISH', identity, 30 * HOUR, epoch, brought, suspicion, this.#room]
      : [epoch, identity, 30 * HOUR, brought, suspicion, 'PUBLISH', this.#room]
    const reply = await redis.eval(script, keys.length, ...keys, ...shared, ...args)
    return [reply, await this.#lineage(node) !== before]
  }

  async #lineage (node: number): Promise<string> {
    const [identity, lineage] = await this.#redis[node]!.hmget(this.#meta, 'r', 'l')
    // A segment that is not flagged is announced only with another identity.
    return [identity, ...(lineage ?? '').split(' ').filter((segment, i) => i === 0 || segment.split(':')[2] === '1')].join(' ')
  }

  async publish (node: number, text: string, caller: Caller): Promise<{ id: Cursor, previous: Cursor, changed: boolean }> {
    // What a message says of the one before it comes on the room's channel.
    const subscriber = this.#redis[node]!.duplicate()
    const sent: string[] = []
    subscriber.on('message', (_, text) => sent.push(text))
    await subscriber.subscribe(this.#room)
    const key = `{${this.#room}}:k:${++this.#calls}`
    const [[, , , id], changed] = await this.#script(node, publish, [this.#meta, this.#stream, key], caller, [this.#size, HOUR, 1e9, text, HOUR, ''])
    await this.#note(node)
    await subscriber.ping()
    subscriber.disconnect()
    const [, said, previous] = sent.at(-1)!.split(' ')
    if (said !== id) throw new Error(`${said} was sent, ${id} answered`)
    return { id: parseCursor(id)!, previous: parseCursor(previous)!, changed }
  }

  async positions (node: number, caller: Caller): Promise<{ top: Cursor, changed: boolean }> {
    const quiet = await this.#findQuiet(node, caller)
    const [[, top], changed] = await this.#script(node, positions, [this.#meta, this.#stream], caller, [])
    if (quiet !== undefined && (changed || quiet !== top)) throw new Error(`it was found as it was, at ${quiet}, and is at ${top}`)
    await this.#note(node)
    return { top: parseCursor(top)!, changed }
  }

  /** Where nothing would be found out: the broker then asks no further. */
  async #findQuiet (node: number, { seen, suspicion, detects }: Caller): Promise<string | undefined> {
    if (seen.length !== 1 || suspicion !== '') return undefined
    const top = formatCursor(seen[0]!)
    const [, ...others] = await this.#redis[node]!.eval(strange, 1, this.#meta, '', detects ? '' : '-', 30 * HOUR, top) as unknown[]
    return others.length === 0 ? top : undefined
  }

  async read (node: number, detects: boolean, since: Cursor, forebears: readonly Cursor[], limit: number): Promise<Window> {
    let from = since.offset
    for (;;) {
      const [[lineage, top, before, more, ...flat]] = await this.#script(node, read, [this.#meta, this.#stream], { seen: [], suspicion: '', detects }, [HOUR, 'since', from, limit])
      const judged = judge({ segments: parseSegments(lineage), top: Number(top) }, since, Number(before), forebears)
      if (judged.from !== from) {
        from = judged.from
        continue
      }
      await this.#note(node)
      const kept = []
      for (let i = 0; i < flat.length; i += 2) kept.push({ offset: Number(flat[i]), text: String(flat[i + 1]) })
      return windowOf({ segments: parseSegments(lineage), top: Number(top) }, kept, more === 1, from, since, judged.hole)
    }
  }

  async copy (from: number, to: number): Promise<void> {
    await this.#restore(to, await this.#dump(from))
    this.#past[to] = [await this.#dump(to)]
  }

  async renew (node: number): Promise<void> {
    await this.#redis[node]!.call('DEBUG', 'CHANGE-REPL-ID')
  }

  async rewind (node: number, operations: number): Promise<void> {
    const past = this.#past[node]!
    past.splice(Math.max(1, past.length - operations))
    await this.#restore(node, past.at(-1)!)
  }

  async deleteMeta (node: number): Promise<void> {
    await this.#redis[node]!.del(this.#meta)
    await this.#note(node)
  }

  async deleteStream (node: number): Promise<void> {
    await this.#redis[node]!.del(this.#stream)
    await this.#note(node)
  }

  async flush (node: number): Promise<void> {
    await this.#redis[node]!.flushall()
    await this.#note(node)
  }

  async #dump (node: number): Promise<Dump> {
    const redis = this.#redis[node]!
    return [await redis.dumpBuffer(this.#meta), await redis.dumpBuffer(this.#stream)]
  }

  async #restore (node: number, dump: Dump): Promise<void> {
    const redis = this.#redis[node]!
    await redis.del(this.#meta, this.#stream)
    for (const [i, key] of [this.#meta, this.#stream].entries()) {
      if (dump[i] != null) await redis.restore(key, i === 0 ? 30 * HOUR : HOUR, dump[i] as Buffer)
    }
  }

  async #note (node: number): Promise<void> {
    const past = this.#past[node]!
    past.push(await this.#dump(node))
    if (past.length > 10) past.shift()
  }
}

import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Link, LinkEvents, Numbered } from '../link.js'
import type { RedisClient } from './client.js'
import { parseCursor } from '../../cursor.js'
import { errors, retryAfter } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { connectionLike } from './client.js'
import { Connection, selectDatabase } from './connection.js'
import { Keys } from './keys.js'
import { Live } from './live.js'
import { Script } from './script.js'

// A replica takes a PUBLISH too, and hands it to its own subscribers alone. A write, of nothing, is refused there.
const primary = "redis.call('DEL', KEYS[1])\n"

/**
 * Publishes messages, in their order. `ARGV[1]` is the room's channel, `ARGV[2]` how long a key is remembered in ms; then
 * come, for each message, its id, what is sent, what is sent in its place where it is not published, and the index of its
 * key, or 0. Answers for each an empty string, or the id that was published under its key, or `e` and what Redis said.
 *
 * A key that holds the message's own id is of an earlier try, which had no answer: it is sent again, and whoever has
 * heard the number ignores it. Keys are written first, since only the first write of a script honours `maxmemory`.
 */
const send = new Script(`
local answers = {}
for i = 3, #ARGV, 4 do
  local id, key, answer = ARGV[i], KEYS[tonumber(ARGV[i + 3])], ''
  if key then
    local first = redis.pcall('SET', key, id, 'NX', 'PX', ARGV[2]) or redis.pcall('GET', key)
    if first.err then answer = 'e' .. first.err
    elseif not first.ok and first ~= id then answer = first end
  end
  answers[#answers + 1] = answer
end
${primary}
for i, answer in ipairs(answers) do
  local at = 4 * i - 1
  local sent = redis.pcall('PUBLISH', ARGV[1], ARGV[answer == '' and at + 1 or at + 2])
  if type(sent) == 'table' then
    local key = KEYS[tonumber(ARGV[at + 3])]
    if key and answer == '' then redis.call('DEL', key) end
    answers[i] = 'e' .. sent.err
  end
end
return answers
`)

/** Publishes payloads: channels and payloads by turns. */
const say = new Script(primary + "for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end")

// Counts of one call, so that a script does not hold up everybody else.
const TOGETHER = 500

export interface PubSubOptions {
  /** Its connection for commands; that for subscriptions is opened like it. */
  client: RedisClient
  keyPrefix: string
  /** In ms. */
  idempotencyTtl: number
  scheduler?: Scheduler
}

/** Redis Pub/Sub, and nothing but it: idempotency keys are all that is stored. */
export class PubSubLink implements Link {
  readonly #commands: Connection
  readonly #live: Live
  readonly #keys: Keys
  readonly #idempotencyTtl: number

  constructor ({ client, keyPrefix, idempotencyTtl, scheduler = systemScheduler }: PubSubOptions, events: LinkEvents) {
    // Names of its own: the broker with a window can be on the same Redis.
    this.#keys = new Keys(`${keyPrefix}:pubsub`, client.options?.db, client.options?.keyPrefix)
    this.#idempotencyTtl = idempotencyTtl
    this.#commands = new Connection(client, scheduler)
    this.#live = new Live(connectionLike(client), scheduler, events)
  }

  async open (deadline: number): Promise<void> {
    this.#commands.open()
    this.#live.open()
    await selectDatabase(this.#commands, this.#commands.client, deadline)
    // The rights that are needed: better found out now.
    await this.say([{ room: '', payload: '' }], deadline)
    await this.#live.untilWhole(deadline)
  }

  close (): void {
    this.#live.close()
    this.#commands.close()
  }

  async reach (deadline: number): Promise<void> {
    await this.#commands.run((client) => client.ping(), deadline)
    await this.#live.untilWhole(deadline)
  }

  subscribe (room: string, deadline: number): Promise<void> {
    return this.#live.subscribe(room, this.#keys.channel(room), deadline)
  }

  unsubscribe (room: string): Promise<void> {
    return this.#live.unsubscribe(this.#keys.channel(room))
  }

  async send (room: string, number: () => Numbered[], deadline: number): Promise<Array<Cursor | Error | undefined>> {
    const answers = await this.#commands.run((client) => {
      const keys = [this.#keys.meta(room)]
      const messages = number().flatMap(({ id, payload, unused, key }) => [
        id, payload, unused, key === undefined ? 0 : keys.push(this.#keys.idempotency(room, key))
      ])
      return send.run<string[]>(client, keys, [this.#keys.channel(room), this.#idempotencyTtl, ...messages])
    }, deadline)
    return answers.map((answer) => answer.startsWith('e') ? retryAfter(new errors.BrokerAway(`Redis refuses: ${answer.slice(1)}`), 5) : parseCursor(answer))
  }

  async say (counts: ReadonlyArray<{ room: string, payload: string }>, deadline: number): Promise<void> {
    for (let i = 0; i < counts.length; i += TOGETHER) {
      const payloads = counts.slice(i, i + TOGETHER).flatMap(({ room, payload }) => [this.#keys.channel(room), payload])
      await this.#commands.run((client) => say.run(client, [this.#keys.meta('')], payloads), deadline)
    }
  }
}

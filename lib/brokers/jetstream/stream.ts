import type { Api, StreamConfig } from './api.js'
import { errors } from '../../errors.js'
import { isGone, JetStreamError } from './refusals.js'

const DAY = 24 * 60 * 60 * 1000
/** In ns. */
const MS = 1e6
/** By this we know a stream that we made: it is kept as the options say. Any other is its operator's, and only looked at. */
const DESCRIPTION = 'fastify-fan-out: made by the servers, and changed with their options'

export interface StreamWishes {
  /** The window of a room: messages, ms. */
  history: { size: number, maxAge: number }
  /** In ms. */
  idempotencyTtl: number
  /** How many further nodes keep it. */
  replicas: number
}

/** What the subjects and the stream are called. */
export class Names {
  readonly stream: string
  readonly #prefix: string

  constructor (prefix: string) {
    this.#prefix = prefix
    this.stream = prefix.replaceAll('.', '_')
  }

  /** Where a message of a room is stored, by the room's token. */
  stored (token: string): string { return `${this.#prefix}.room.${token}` }
  /** Where it comes live. */
  live (token: string): string { return `${this.#prefix}.live.${token}` }
  /** Servers that are there answer to it. */
  get servers (): string { return `${this.#prefix}.servers` }

  /** What is needed of a stream, whoever made it. */
  get subjects (): Pick<StreamConfig, 'subjects' | 'republish'> {
    return { subjects: [this.stored('*')], republish: { src: this.stored('*'), dest: this.live('{{wildcard(1)}}') } }
  }
}

/**
 * What we make. One pack more is kept of a room than its window has messages: where the newest that is no longer in the window is
 * still there, it is known that nothing is missing after it. And all are kept for a day longer than they can be read: what
 * they tell is where a room stands, and that nothing came after.
 */
function configFor (names: Names, { history, idempotencyTtl, replicas }: StreamWishes): Partial<StreamConfig> {
  return {
    name: names.stream,
    description: DESCRIPTION,
    ...names.subjects,
    retention: 'limits',
    storage: 'file',
    discard: 'old',
    num_replicas: replicas + 1,
    max_msgs_per_subject: history.size + 1,
    max_age: Math.max(history.maxAge + DAY, idempotencyTtl) * MS,
    duplicate_window: duplicateWindow(idempotencyTtl) * MS,
    allow_direct: true
  }
}

/** For how long ids are remembered, in ms; JetStream takes no less than 100. */
export function duplicateWindow (idempotencyTtl: number): number {
  return Math.max(idempotencyTtl, 100)
}

/** Sees to it that there is a stream as it has to be. Rejects with what is wrong with an operator's own. */
export async function ensureStream (api: Api, names: Names, wishes: StreamWishes, deadline: number): Promise<void> {
  const wanted = configFor(names, wishes)
  let failed: Error | undefined
  for (let created = false; ; created = true) {
    const info = await api.info(deadline)
    if (info === undefined) {
      if (created) throw failed ?? new errors.BrokerAway(`JetStream has no stream ${names.stream}, though it was created`)
      // Another server may be first. JetStream says so in more than one way: what counts is whether there is one then.
      await api.create(wanted, deadline).catch((error: unknown) => { failed = refusal(names.stream, 'create', error) })
      continue
    }
    const { config } = info
    if (config.description !== DESCRIPTION) {
      const wrong = complaints(config, wanted, wishes)
      if (wrong.length > 0) throw new errors.InvalidOption(`the stream ${names.stream} of JetStream is not made by fastify-fan-out, and cannot be used as it is: ${wrong.join('; ')}`)
      return
    }
    const differs = Object.entries(wanted).some(([name, value]) => JSON.stringify(config[name as keyof StreamConfig]) !== JSON.stringify(value))
    if (differs) {
      await api.update({ ...config, ...wanted }, deadline).catch((error: unknown) => {
        // It was deleted meanwhile: whoever needs it looks again.
        if (!isGone(error)) throw refusal(names.stream, 'change', error)
      })
    }
    return
  }
}

/** What JetStream refuses; throws what is no refusal. */
function refusal (stream: string, what: string, error: unknown): Error {
  if (!(error instanceof JetStreamError)) throw error
  return new errors.InvalidOption(`JetStream does not ${what} the stream ${stream}: ${error.message}`)
}

function complaints (config: StreamConfig, wanted: Partial<StreamConfig>, { history, idempotencyTtl }: StreamWishes): string[] {
  const atLeast = (name: 'max_msgs_per_subject' | 'max_age' | 'duplicate_window', least: number, unlimited: boolean): string | false =>
    !(unlimited && config[name] <= 0) && config[name] < least && `${name} is ${config[name]}, and must be ${least} or more`
  const is = (name: 'retention' | 'discard', value: string): string | false => config[name] !== value && `${name} is ${config[name]}, and must be ${value}`
  const subjects = wanted.subjects as string[]
  const republish = wanted.republish as NonNullable<StreamConfig['republish']>
  return [
    !subjects.every((subject) => config.subjects.includes(subject)) && `its subjects must include ${subjects.join(', ')}`,
    (config.republish?.src !== republish.src || config.republish?.dest !== republish.dest || config.republish.headers_only === true) && `it must republish ${republish.src} to ${republish.dest}, with the payload`,
    config.no_ack === true && 'no_ack must be off',
    is('retention', 'limits'),
    is('discard', 'old'),
    atLeast('max_msgs_per_subject', history.size + 1, true),
    atLeast('max_age', history.maxAge * MS, true),
    atLeast('duplicate_window', idempotencyTtl * MS, false)
  ].filter((complaint) => complaint !== false)
}

/** How long something can be known: so many packs are stored of a room, for so many ms. `bytes`: of one of them, at most. */
export interface Bounds { perRoom: number, maxAge: number, bytes: number }

export function boundsOf ({ max_msgs_per_subject: messages, max_age: age, max_msg_size: bytes = -1 }: StreamConfig): Bounds {
  return { perRoom: messages > 0 ? messages : Infinity, maxAge: age > 0 ? age / MS : Infinity, bytes: bytes > 0 ? bytes : Infinity }
}

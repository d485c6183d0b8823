import type { Scheduler } from '../../scheduler.js'
import type { Msg, NatsConnection } from '../nats/connection.js'
import { headers as newHeaders, NoRespondersError } from '@nats-io/transport-node'
import { errors } from '../../errors.js'
import { headersOf, oneHeader } from '../nats/headers.js'
import { DUPLICATE_UNDER_WAY, JetStreamError, NOT_FOUND, passes, STREAM_NOT_FOUND, unless, WRONG_LAST_SEQUENCE } from './refusals.js'

// In ms. What has no answer for so long is asked again: a stream may be without a leader, and a message may be lost between servers.
const TRY = 1_000
// Between tries.
const PAUSES = [20, 50, 100, 200]

/** A message as the stream holds it. `time` in ms since 1970. */
export interface Stored {
  sequence: number
  time: number
  text: string
  /** Its `Nats-Msg-Id`. */
  messageId: string
}

export interface StreamConfig {
  name: string
  description?: string
  subjects: string[]
  retention: string
  storage: string
  discard: string
  num_replicas: number
  max_msgs_per_subject: number
  max_msgs: number
  max_bytes: number
  max_msg_size?: number
  /** In ns, as all times. */
  max_age: number
  duplicate_window: number
  allow_direct?: boolean
  no_ack?: boolean
  republish?: { src?: string, dest: string, headers_only?: boolean }
}

export interface StreamInfo {
  config: StreamConfig
  /** `subjects` where it was asked for: how many messages of each are stored. */
  state: { last_seq: number, first_seq: number, messages: number, subjects?: Record<string, number> }
}

export interface Batch<T> {
  messages: T[]
  /** How many more there are. */
  pending: number
  /** Of the newest ones of subjects: the sequence up to which the node had all when it answered. */
  end: number
}

export interface PubAck { seq: number, duplicate?: boolean }

interface Answer { error?: { code: number, err_code?: number, description?: string } }

/** Asks the JetStream of a connection, https://docs.nats.io/reference/reference-protocols/nats_api_reference, again and again until the deadline. */
export class Api {
  readonly connection: NatsConnection
  readonly stream: string
  readonly #scheduler: Scheduler

  constructor (connection: NatsConnection, stream: string, scheduler: Scheduler) {
    this.connection = connection
    this.stream = stream
    this.#scheduler = scheduler
  }

  get now (): number {
    return this.#scheduler.now()
  }

  /** Undefined where there is no such stream. `subject`: counts what is stored under it. */
  async info (deadline: number, subject?: string): Promise<StreamInfo | undefined> {
    return await unless([STREAM_NOT_FOUND], this.ask<StreamInfo>(`STREAM.INFO.${this.stream}`, subject === undefined ? undefined : { subjects_filter: subject }, deadline))
  }

  async create (config: Partial<StreamConfig>, deadline: number): Promise<void> {
    await this.ask(`STREAM.CREATE.${this.stream}`, config, deadline)
  }

  async update (config: Partial<StreamConfig>, deadline: number): Promise<void> {
    await this.ask(`STREAM.UPDATE.${this.stream}`, config, deadline)
  }

  /** The newest message of a subject. Asked of the stream's leader: it knows of all that was acknowledged. */
  async last (subject: string, deadline: number): Promise<Stored | undefined> {
    return await this.#get({ last_by_subj: subject }, deadline)
  }

  /**
   * Takes several messages at once, by a batched direct get, as one of the nodes that keep the stream has them. Servers have it
   * from 2.11 on. Rejects where a part of the answer was lost on its way.
   */
  async directly<T> (what: object, deadline: number, take: (header: (name: string) => string, message: Msg) => T): Promise<Batch<T> | 'unknown'> {
    const batch: Batch<T> = { messages: [], pending: 0, end: 0 }
    let unknown = false
    let last = 0
    await this.connection.requestMany(`$JS.API.DIRECT.GET.${this.stream}`, JSON.stringify(what), {
      deadline,
      onReply: (reply) => {
        // Only what is no message has a status.
        const { code = 0, description = '' } = (reply.data.length === 0 ? reply.headers : undefined) ?? {}
        const header = code === 0 ? headersOf(reply) : (name: string) => reply.headers?.get(name) ?? ''
        unknown = code === 408 || (code === 0 && header('Nats-Num-Pending') === '')
        if (unknown || code === 404) return true
        if (code !== 0 && code !== 204) throw new errors.BrokerAway(`JetStream answers ${code} ${description}`)
        // Each says which was before it, and the end which was the last.
        if (Number(header('Nats-Last-Sequence')) !== last) throw new errors.BrokerAway('a part of an answer was lost')
        batch.pending = Number(header('Nats-Num-Pending'))
        batch.end = Number(header('Nats-UpTo-Sequence'))
        if (code === 204) return true
        last = Number(header('Nats-Sequence'))
        batch.messages.push(take(header, reply))
        return false
      }
    })
    return unknown ? 'unknown' : batch
  }

  /** The first message of a subject from a sequence on. */
  async next (subject: string, sequence: number, deadline: number): Promise<Stored | undefined> {
    return await this.#get({ next_by_subj: subject, seq: sequence }, deadline)
  }

  async at (sequence: number, deadline: number): Promise<Stored | undefined> {
    return await this.#get({ seq: sequence }, deadline)
  }

  async #get (what: object, deadline: number): Promise<Stored | undefined> {
    const answer = await unless([NOT_FOUND], this.ask<{ message: { seq: number, time: string, data?: string, hdrs?: string } }>(`STREAM.MSG.GET.${this.stream}`, what, deadline))
    if (answer === undefined) return undefined
    const { seq, time, data = '', hdrs = '' } = answer.message
    const [, messageId = ''] = /^Nats-Msg-Id: *(.*)\r$/im.exec(Buffer.from(hdrs, 'base64').toString()) ?? []
    return { sequence: seq, time: Date.parse(time), text: Buffer.from(data, 'base64').toString(), messageId }
  }

  /** Stores messages under a subject, in their order, in one try: `onAnswer` is told what became of each. Rejects where that is not known of all. */
  async publish (subject: string, messages: ReadonlyArray<{ text: string, messageId: string }>, deadline: number, onAnswer: (answer: PubAck | Error, place: number) => void): Promise<void> {
    await this.connection.requestEach(subject, messages.map(({ text, messageId }) => ({ payload: text, headers: oneHeader('Nats-Msg-Id', messageId) })), {
      deadline,
      onAnswer: (answer, place) => onAnswer(answer instanceof Error ? answer : acknowledgement(answer), place)
    })
  }

  /** Stores a message under a subject whose last sequence is `last`, 0 where there is none, and answers its own; undefined where it is another by now, and where the link broke: then nobody knows. */
  async publishAfter (subject: string, text: string, last: number, deadline: number): Promise<number | undefined> {
    const link = this.connection.linked()
    return await unless(WRONG_LAST_SEQUENCE, this.persist(deadline, async (until) => {
      if (this.connection.linked() !== link) return undefined
      const headers = newHeaders()
      headers.set('Nats-Expected-Last-Subject-Sequence', String(last))
      return parse<PubAck>(await this.connection.request(subject, text, { headers, deadline: until })).seq
    }))
  }

  /** Sends a request of the API, until there is an answer. */
  async ask<T> (subject: string, body: object | undefined, deadline: number): Promise<T> {
    try {
      return await this.persist(deadline, async (until) => {
        const reply = await this.connection.request(`$JS.API.${subject}`, body === undefined ? '' : JSON.stringify(body), { deadline: until })
        return parse<T>(reply)
      })
    } catch (error) {
      throw (error as Error).cause instanceof NoRespondersError ? this.connection.away('JetStream does not answer: is it enabled, for this account?') : error
    }
  }

  /** Resolves when `work` calls `done`, and rejects with what it throws, or after the deadline. */
  async within (deadline: number, work: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = this.#scheduler.after(deadline - this.now, () => reject(this.connection.away('it did not answer in time')))
      try {
        work(() => {
          cancel()
          resolve()
        })
      } catch (error) {
        cancel()
        throw error
      }
    })
  }

  /** Tries `work` until it is done, until what is wrong will not pass, or until the deadline. */
  async persist<T> (deadline: number, work: (until: number) => Promise<T>): Promise<T> {
    let trouble: unknown
    for (let tries = 0; ; tries++) {
      await this.connection.reach(deadline)
      try {
        return await work(Math.min(deadline, this.now + TRY))
      } catch (error) {
        if (!passes(error)) throw error
        // It says more than that there was no time left.
        if ((error as Error).cause !== undefined) trouble = error
        if (this.now >= deadline) throw trouble ?? error
      }
      const pause = PAUSES[Math.min(tries, PAUSES.length - 1)] as number
      await new Promise<void>((resolve) => this.#scheduler.after(Math.min(pause * (0.5 + this.#scheduler.random()), Math.max(deadline - this.now, 0)), resolve))
    }
  }
}

function acknowledgement (reply: Msg): PubAck | Error {
  try {
    const ack = parse<PubAck>(reply)
    // So does an older server say it.
    return ack.seq === 0 ? new JetStreamError(DUPLICATE_UNDER_WAY, 'an earlier try is under way') : ack
  } catch (error) {
    return error as Error
  }
}

function parse<T> (reply: Msg): T {
  const answer = JSON.parse(reply.string()) as T & Answer
  if (answer.error !== undefined) throw new JetStreamError(answer.error.err_code ?? answer.error.code, answer.error.description ?? `error ${answer.error.code}`)
  return answer
}

import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { Link, LinkEvents, Numbered } from '../link.js'
import type { Subscription } from './connection.js'
import type { NatsOptions } from './url.js'
import { errors } from '../../errors.js'
import { systemScheduler } from '../../scheduler.js'
import { Turns } from '../turns.js'
import { isRefusal, NatsConnection } from './connection.js'
import { encodePrefix, encodeRoom } from './subjects.js'

// Payloads, which have no line breaks in them, go together up to so many bytes, a line each.
const TOGETHER = 32 * 1024

export interface NatsLinkOptions {
  server: NatsOptions
  keyPrefix: string
  scheduler?: Scheduler
}

/** Core NATS, which hands a message to whoever is subscribed, and stores nothing at all: no idempotency keys either. */
export class NatsLink implements Link {
  readonly #connection: NatsConnection
  readonly #scheduler: Scheduler
  readonly #events: LinkEvents
  readonly #prefix: string
  readonly #turns = new Turns()
  readonly #subscriptions = new Map<string, Subscription>()

  constructor ({ server, keyPrefix, scheduler = systemScheduler }: NatsLinkOptions, events: LinkEvents) {
    // Names of its own: the broker with a window can be on the same NATS.
    this.#prefix = `${encodePrefix(keyPrefix)}.core.`
    this.#scheduler = scheduler
    this.#events = events
    this.#connection = new NatsConnection(server, scheduler, {
      connected: () => events.mended(),
      disconnected: () => events.broken()
    })
  }

  async open (deadline: number): Promise<void> {
    await this.#connection.open(deadline)
    // The rights that are needed: better found out now. No room is called so.
    const subject = `${this.#prefix}~`
    const subscription = this.#connection.subscribe(subject, () => {})
    await subscription.confirmed(deadline)
    await this.#connection.deliver(subject, [''], deadline).finally(() => subscription.unsubscribe())
  }

  close (): void {
    void this.#connection.close()
  }

  async reach (deadline: number): Promise<void> {
    await this.#connection.untilWhole(deadline)
    await this.#connection.flush(deadline)
  }

  subscribe (room: string, deadline: number): Promise<void> {
    return this.#turns.take(room, async () => {
      const subscription = this.#subscriptions.get(room) ?? this.#connection.subscribe(this.#subject(room), (message) => {
        for (const payload of message.string().split('\n')) this.#events.message(room, payload)
      })
      this.#subscriptions.set(room, subscription)
      try {
        await subscription.confirmed(deadline)
      } catch (error) {
        this.#subscriptions.delete(room)
        throw error
      }
    })
  }

  unsubscribe (room: string): Promise<void> {
    return this.#turns.take(room, async () => {
      this.#subscriptions.get(room)?.unsubscribe()
      this.#subscriptions.delete(room)
    })
  }

  async send (room: string, number: () => Numbered[], deadline: number): Promise<Array<Cursor | Error | undefined>> {
    for (;;) {
      await this.#connection.reach(deadline)
      const most = this.#connection.serverInfo?.max_payload ?? Infinity
      const messages = number()
      const refused = messages.map((message) => refuse(message, most))
      try {
        const payloads = messages.map(({ payload, unused }, i) => refused[i] === undefined ? payload : unused)
        await this.#connection.deliver(this.#subject(room), join(payloads, Math.min(TOGETHER, most)), deadline)
        return refused
      } catch (error) {
        // Where the link broke nobody knows what was sent: it is sent again, under the same numbers.
        if (!(error instanceof errors.BrokerAway) || isRefusal(error) || this.#scheduler.now() >= deadline) throw error
      }
    }
  }

  async say (counts: ReadonlyArray<{ room: string, payload: string }>, deadline: number): Promise<void> {
    await this.#connection.reach(deadline)
    for (const { room, payload } of counts) this.#connection.publish(this.#subject(room), payload)
    await this.#connection.flush(deadline)
  }

  #subject (room: string): string {
    return this.#prefix + encodeRoom(room)
  }
}

/** In order; what is longer than `most` by itself is alone. */
function join (payloads: readonly string[], most: number): string[] {
  const joined: string[] = []
  let free = 0
  for (const payload of payloads) {
    const bytes = 1 + Buffer.byteLength(payload)
    if (bytes <= free) joined.push(`${joined.pop()}\n${payload}`)
    else {
      joined.push(payload)
      free = most
    }
    free -= bytes
  }
  return joined
}

function refuse ({ payload, key }: Numbered, most: number): Error | undefined {
  if (key !== undefined) return new errors.InvalidIdempotencyKey('this broker (nats:) remembers none; publish without one, or use nats+jetstream:')
  // A character takes three bytes at most.
  if (payload.length * 3 <= most || Buffer.byteLength(payload) <= most) return undefined
  return new errors.TooLarge(`with what is added to it, NATS takes ${most} bytes at most in a message (its max_payload)`)
}

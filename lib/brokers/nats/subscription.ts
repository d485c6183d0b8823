import type { NatsConnection as Client, Msg, Subscription as ClientSubscription } from '@nats-io/transport-node'
import { PermissionViolationError } from '@nats-io/transport-node'
import { errors, retryAfter } from '../../errors.js'

interface Owner {
  /** Resolves when the server has what was subscribed to. */
  confirm (deadline: number): Promise<void>
  /** NATS has refused what it had accepted before. */
  takenAway (): void
  end (): void
}

/** A subject that is subscribed to on every link, one after the other. */
export class Subscription {
  readonly #subject: string
  readonly #onMessage: (message: Msg) => void
  readonly #owner: Owner
  #current: ClientSubscription | undefined
  #confirmed = false
  #refused: Error | undefined

  constructor (subject: string, onMessage: (message: Msg) => void, owner: Owner) {
    this.#subject = subject
    this.#onMessage = onMessage
    this.#owner = owner
  }

  /** Why NATS does not send it on the present link. */
  get refused (): Error | undefined {
    return this.#refused
  }

  /** Whether somebody relies on it, and nothing comes. */
  get missing (): boolean {
    return this.#confirmed && this.#refused !== undefined
  }

  /** `present`: whether that link is still the one. */
  attach (client: Client, present: () => boolean): void {
    this.#refused = undefined
    this.#current?.unsubscribe()
    this.#current = client.subscribe(this.#subject, {
      callback: (error, message) => {
        if (!present()) return
        if (error === null) this.#onMessage(message)
        else {
          this.refuse(error)
          if (this.missing) this.#owner.takenAway()
        }
      }
    })
  }

  /** NATS does not take it on the present link. */
  refuse (error: Error): void {
    this.#refused = refusal(error)
  }

  /** Resolves when all that is sent to it from now on comes, or the events say otherwise. It is ended by a rejection: where NATS refuses it, and after `deadline`. */
  async confirmed (deadline: number): Promise<void> {
    try {
      await this.#owner.confirm(deadline)
      this.#confirmed = true
    } catch (error) {
      this.unsubscribe()
      throw error
    }
  }

  unsubscribe (): void {
    this.#owner.end()
    this.#current?.unsubscribe()
  }
}

/** NATS said no. The reason is the operator's to read. */
export function refusal (error: Error): Error {
  return Object.assign(retryAfter(new errors.BrokerAway(`NATS refuses: ${error.message}`), 5), { cause: error })
}

/** Whether NATS said so. */
export function isRefusal (error: Error): boolean {
  return error.cause instanceof PermissionViolationError
}

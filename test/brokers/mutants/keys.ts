import type { Outgoing, Published } from '../../../lib/brokers/broker.js'
import type { Mutants } from './sound.js'
import { bitten, Sound } from './sound.js'

type Results = Promise<Array<Published | Error>>

const keyed = (messages: readonly Outgoing[], key: (message: Outgoing) => string | undefined): Outgoing[] => messages.map((message) => (
  { ...message, idempotencyKey: message.idempotencyKey === undefined ? undefined : key(message) }
))

/** Remembers the first answers itself, for ever. */
class Remembering extends Sound {
  readonly #answers = new Map<string, Published>()

  name (room: string, key: string): string {
    return JSON.stringify([room, key])
  }

  override async publish (messages: readonly Outgoing[]): Results {
    return (await super.publish(messages)).map((result, i) => {
      const { room, idempotencyKey } = messages[i] as Outgoing
      if (result instanceof Error || idempotencyKey === undefined) return result
      const name = this.name(room, idempotencyKey)
      const first = this.#answers.get(name)
      this.#answers.set(name, first ?? result)
      return first === undefined ? result : { ...first, duplicate: true }
    })
  }
}

/** Wrong about keys. */
export const keys: Mutants = {
  'remembers no key': bitten(['a key within its time', 'a key twice in one batch', 'a key is forgotten'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return await super.publish(keyed(messages, () => undefined))
    }
  }),
  'remembers a key for ever': bitten(['a key is forgotten'], Remembering),
  'joins room and key with a colon': bitten(['keys and rooms do not run into each other'], class extends Remembering {
    override name (room: string, key: string): string {
      return `${room}:${key}`
    }
  }),
  'has one key for all rooms': bitten(['a key counts for its room'], class extends Remembering {
    override name (_: string, key: string): string {
      return key
    }
  }),
  'remembers keys by server': bitten(['a key is known to all servers'], class extends Sound {
    readonly #server = String(Math.random())
    override async publish (messages: readonly Outgoing[]): Results {
      return await super.publish(keyed(messages, ({ idempotencyKey }) => this.#server + idempotencyKey))
    }
  }),
  'tells of a duplicate as of a first': bitten(['a key within its time', 'a key counts for its room', 'a key is known to all servers'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return (await super.publish(messages)).map((result) => result instanceof Error ? result : { ...result, duplicate: false })
    }
  })
}

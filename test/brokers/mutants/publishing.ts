import type { BrokerEvents, Outgoing, Published } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import type { Mutants } from './sound.js'
import { bitten, REFUSED, Sound } from './sound.js'

type Results = Promise<Array<Published | Error>>

const below = ({ epoch, offset }: Cursor): Cursor => ({ epoch, offset: Math.max(0, offset - 1) })

/** Wrong in what is answered to a publisher, or asked for by a room. */
export const publishing: Mutants = {
  'answers in another order': bitten(['a batch of many rooms'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return (await super.publish(messages)).reverse()
    }
  }),
  'answers one too few': bitten(['a batch of many rooms'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return (await super.publish(messages)).slice(0, 50)
    }
  }),
  'rejects as a whole': bitten(['a closed broker refuses'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      if (this.events === undefined) throw new Error('closed')
      return await super.publish(messages)
    }
  }),
  'sinks a batch with one refused': bitten(['an entry that is refused'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return messages.some(({ text }) => text === REFUSED) ? messages.map(() => new Error('refused')) : await super.publish(messages)
    }
  }),
  'takes the key of what it refuses': bitten(['a key is not taken'], class extends Sound {
    readonly #keys = new Set<string | undefined>()
    override async publish (messages: readonly Outgoing[]): Results {
      for (const { text, idempotencyKey } of messages) if (text === REFUSED) this.#keys.add(idempotencyKey)
      const taken = messages.filter(({ idempotencyKey }) => idempotencyKey !== undefined && this.#keys.has(idempotencyKey))
      return (await super.publish(messages)).map((result, i) => result instanceof Error || !taken.includes(messages[i] as Outgoing) ? result : { ...result, duplicate: true })
    }
  }),
  'never answers a batch': bitten(['messages come in the order'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return messages.length > 1 ? await new Promise(() => {}) : await super.publish(messages)
    }
  }),
  'tells a lone publish the position before it': bitten(['messages come in the order', 'a publish that is asked for after another'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      const results = await super.publish(messages)
      return results.map((result) => result instanceof Error || messages.length > 2 ? result : { ...result, id: below(result.id) })
    }
  }),
  'serialises again what was text': bitten(['a text arrives as it was given'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return await super.publish(messages.map((message) => ({ ...message, text: JSON.stringify(JSON.parse(message.text)) })))
    }
  }),
  'names rooms by their lower case': bitten(['no name of a room means anything'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return await super.publish(messages.map((message) => ({ ...message, room: message.room.toLowerCase() })))
    }
  }),
  'tells a position too low': bitten(['positions: the top of each room', 'two servers: positions grow'], class extends Sound {
    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      return (await super.positions(rooms)).map(below)
    }
  }),
  'believes what a server says it has seen': bitten(['positions: a server that has seen less'], class extends Sound {
    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      const tops = await super.positions(rooms)
      return tops.map((top, i) => rooms[i]!.seen.offset > top.offset ? rooms[i]!.seen : top)
    }
  }),
  'draws a new epoch whenever it is asked': bitten(['positions: the top of each room'], class extends Sound {
    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      return (await super.positions(rooms)).map(({ epoch, offset }) => ({ epoch: epoch + Math.floor(Math.random() * 1000), offset }))
    }
  }),
  'starts, reached or not': bitten(['start rejects'], class extends Sound {
    override async start (events: BrokerEvents): Promise<void> {
      this.events = events
    }
  })
}

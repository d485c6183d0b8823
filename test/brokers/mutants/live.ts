import type { Outgoing, Published, StoredMessage } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import type { Mutants } from './sound.js'
import { bitten, Sound } from './sound.js'

type Results = Promise<Array<Published | Error>>

const later = (delay: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, delay) })
const below = ({ epoch, offset }: Cursor): Cursor => ({ epoch, offset: Math.max(0, offset - 1) })

/** Wrong in what comes live. */
export const live: Mutants = {
  'drops a message': bitten(['messages come in the order', 'publishes at the same time', 'reading on from each position'], class extends Sound {
    override deliver (room: string, message: StoredMessage): void {
      if (message.id.offset !== 4) super.deliver(room, message)
    }
  }),
  'drops the newest message': bitten(['from the position that subscribe answers on'], class extends Sound {
    override deliver (room: string, message: StoredMessage): void {
      if (message.text !== '"last"') super.deliver(room, message)
    }
  }),
  'hands out a message twice': bitten(['messages come in the order', 'many rooms at once', 'only subscribed rooms come', 'two servers: the same messages'], class extends Sound {
    override deliver (room: string, message: StoredMessage): void {
      super.deliver(room, message)
      setImmediate(() => super.deliver(room, message))
    }
  }),
  'hands out messages as often as a room was subscribed to': bitten(['subscribe answers the top', 'only subscribed rooms come'], class extends Sound {
    readonly #times = new Map<string, number>()
    override async subscribe (room: string): Promise<Cursor> {
      this.#times.set(room, (this.#times.get(room) ?? 0) + 1)
      return await super.subscribe(room)
    }

    override deliver (room: string, message: StoredMessage): void {
      for (let i = 0; i < (this.#times.get(room) ?? 0); i++) super.deliver(room, message)
    }
  }),
  'names a wrong previous': bitten(['messages come in the order', 'publishes at the same time'], class extends Sound {
    override deliver (room: string, message: StoredMessage): void {
      super.deliver(room, { ...message, previous: below(message.previous) })
    }
  }),
  'changes the order of two': bitten(['messages come in the order', 'publishes at the same time', 'two servers: the same messages'], class extends Sound {
    #held: StoredMessage | undefined
    override deliver (room: string, message: StoredMessage): void {
      if (message.id.offset === 2) {
        this.#held = message
        return
      }
      super.deliver(room, message)
      if (message.id.offset === 3 && this.#held !== undefined) super.deliver(room, this.#held)
    }
  }),
  'swaps the texts of one turn': bitten(['publishes at the same time', 'a batch of many rooms'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return await super.publish(messages.map((message, i) => ({ ...message, text: (messages[i ^ 1] ?? message).text })))
    }
  }),
  'calls an event from within publish': bitten(['messages come in the order'], class extends Sound {
    override publish (messages: readonly Outgoing[]): Results {
      this.events?.doubt(messages.map(({ room }) => room))
      return super.publish(messages)
    }
  }),
  'calls an event from within subscribe': bitten(['messages come in the order'], class extends Sound {
    override subscribe (room: string): Promise<Cursor> {
      this.events?.doubt([room])
      return super.subscribe(room)
    }
  }),
  'begins to listen only after subscribe has resolved': bitten(['messages come in the order', 'from the position that subscribe answers on'], class extends Sound {
    override async subscribe (room: string): Promise<Cursor> {
      const top = await this.hub.memory.subscribe(room)
      setTimeout(() => this.rooms.add(room), 10)
      return top
    }
  }),
  'answers the base of the room where the top is asked for': bitten(['from the position that subscribe answers on', 'subscribe answers the top'], class extends Sound {
    override async subscribe (room: string): Promise<Cursor> {
      await super.subscribe(room)
      return (await this.read(room, { limit: 1 })).start
    }
  }),
  'never leaves a room': bitten(['only subscribed rooms come', 'no name of a room means anything'], class extends Sound {
    override async unsubscribe (): Promise<void> {}
  }),
  'leaves a room a little later': bitten(['only subscribed rooms come'], class extends Sound {
    override async unsubscribe (room: string): Promise<void> {
      setTimeout(() => { void super.unsubscribe(room) }, 10)
    }
  }),
  'obeys unsubscribe before subscribe': bitten(['subscribe and unsubscribe are obeyed'], class extends Sound {
    override async subscribe (room: string): Promise<Cursor> {
      await later(1)
      return await super.subscribe(room)
    }
  }),
  'sends all rooms': bitten(['two servers: what one leaves'], class extends Sound {
    override deliver (room: string, message: StoredMessage): void {
      this.events?.message(room, message)
    }
  }),
  'knows no more than 100 rooms': bitten(['many rooms at once'], class extends Sound {
    override async subscribe (room: string): Promise<Cursor> {
      if (this.rooms.size < 100) return await super.subscribe(room)
      return await this.hub.memory.subscribe(room)
    }
  })
}

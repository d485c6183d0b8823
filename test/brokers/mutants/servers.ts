import type { Outgoing, Published, ReadRequest, Window } from '../../../lib/brokers/broker.js'
import type { Cursor } from '../../../lib/cursor.js'
import type { Mutants } from './sound.js'
import { bitten, Sound } from './sound.js'

type Results = Promise<Array<Published | Error>>

const later = (delay: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, delay) })

/** Wrong at the end, or among several servers. */
export const servers: Mutants = {
  'leaves a timer behind': bitten(['close lets go'], class extends Sound {
    readonly #timer = setTimeout(() => {}, 2_000)
    override async close (): Promise<void> {
      await super.close()
      this.#timer.ref()
    }
  }),
  'calls an event after it has closed': bitten(['close settles'], class extends Sound {
    override async close (): Promise<void> {
      const { events } = this
      await super.close()
      setTimeout(() => events?.doubt(), 10)
    }
  }),
  'leaves a publish hanging when it closes': bitten(['close settles'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      const results = await super.publish(messages)
      await later(0)
      return this.events === undefined ? await new Promise(() => {}) : results
    }
  }),
  'takes messages after it has closed': bitten(['a closed broker refuses'], class extends Sound {
    override async publish (messages: readonly Outgoing[]): Results {
      return this.events === undefined ? messages.map(() => ({ id: { epoch: 1, offset: 1 }, duplicate: false })) : await super.publish(messages)
    }
  }),
  'leaves for all servers': bitten(['two servers: what one leaves'], class extends Sound {
    override async unsubscribe (room: string): Promise<void> {
      for (const { rooms } of this.hub.servers) rooms.delete(room)
    }
  }),
  'compares no more than 256 rooms at once': bitten(['two servers: many rooms that are joined'], class extends Sound {
    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      return [...await super.positions(rooms.slice(0, 256)), ...rooms.slice(256).map(({ seen }) => seen)]
    }
  }),
  'has an epoch for each server': bitten(['two servers: the same messages', 'two servers: positions grow', 'two servers: a cursor of one'], class extends Sound {
    readonly #add = [...this.hub.servers].length
    override async subscribe (room: string): Promise<Cursor> {
      const { epoch, offset } = await super.subscribe(room)
      return { epoch: epoch + this.#add, offset }
    }

    override async read (room: string, request: ReadRequest): Promise<Window> {
      const { since } = request
      return await super.read(room, since === undefined ? request : { ...request, since: { epoch: since.epoch - this.#add, offset: since.offset } })
    }

    override async positions (rooms: ReadonlyArray<{ room: string, seen: Cursor }>): Promise<Cursor[]> {
      return (await super.positions(rooms)).map(({ epoch, offset }) => ({ epoch: epoch + this.#add, offset }))
    }
  })
}

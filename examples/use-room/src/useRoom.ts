import type { Client, Room, RoomGap, RoomMessage, RoomState } from 'fastify-fan-out/client'
import { useCallback, useSyncExternalStore } from 'react'

/** A room as it is now. A change makes a new one. */
export interface View<Data> {
  state: RoomState
  /** Why the server ended it. */
  error: Error | undefined
  /** The last `KEEP` messages, and a gap where some are missing. */
  items: ReadonlyArray<RoomMessage<Data> | RoomGap>
}

const KEEP = 100
const EMPTY: View<never> = { state: 'joining', error: undefined, items: [] }

/**
 * Joins a room while a component shows it. All components that show the same room of the same client share one `Room`, which is left
 * when the last of them is gone. Publish by `client.publish(name, data)`.
 */
export function useRoom<Data> (client: Client, name: string): View<Data> {
  const subscribe = useCallback((changed: () => void) => share(client, name).add(changed), [client, name])
  return useSyncExternalStore(subscribe, () => (shared.get(client)?.get(name)?.view ?? EMPTY) as View<Data>)
}

const shared = new WeakMap<Client, Map<string, SharedRoom>>()

function share (client: Client, name: string): SharedRoom {
  const rooms = shared.get(client) ?? new Map<string, SharedRoom>()
  shared.set(client, rooms)
  const room = rooms.get(name) ?? new SharedRoom(client.join(name, { replay: KEEP }), () => rooms.delete(name))
  rooms.set(name, room)
  return room
}

class SharedRoom {
  view: View<unknown> = EMPTY
  readonly #users = new Set<() => void>()
  readonly #room: Room
  readonly #forget: () => void

  constructor (room: Room, forget: () => void) {
    this.#room = room
    this.#forget = forget
    const take = (item: RoomMessage | RoomGap): void => this.#change({ items: [...this.view.items, item].slice(-KEEP) })
    room.addEventListener('message', ({ type, room, id, data }) => take({ type: 'message', room, id, data }))
    room.addEventListener('gap', ({ room, id, reason }) => take({ type: 'gap', room, id, reason }))
    room.addEventListener('state', ({ state, error }) => this.#change({ state, error }))
  }

  add (changed: () => void): () => void {
    // Two components may hand over the same function.
    const user = (): void => changed()
    this.#users.add(user)
    return () => {
      this.#users.delete(user)
      // Not at once: StrictMode takes every component out and puts it in again, and a page may replace one by another.
      setTimeout(() => {
        if (this.#users.size > 0) return
        this.#forget()
        this.#room.leave()
      })
    }
  }

  #change (change: Partial<View<unknown>>): void {
    this.view = { ...this.view, ...change }
    for (const changed of this.#users) changed()
  }
}

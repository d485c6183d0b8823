/** The names of what is kept in Redis and sent over it. `1` is the version of all of it: servers of two versions can share a Redis. */
export class Keys {
  readonly #prefix: string

  constructor (prefix: string) {
    this.#prefix = `${prefix}:1:`
  }

  /** What comes for a room. */
  channel (room: string): string {
    return this.#room(room)
  }

  meta (room: string): string {
    return this.#room(room) + ':m'
  }

  stream (room: string): string {
    return this.#room(room) + ':s'
  }

  idempotency (room: string, key: string): string {
    return `${this.#room(room)}:k:${key}`
  }

  // What stands between the braces decides a Cluster's slot: a room's keys are together, whatever it is called.
  #room (room: string): string {
    return `${this.#prefix}{${room.replace(/[%{}]/g, (character) => encodeURIComponent(character))}}`
  }
}

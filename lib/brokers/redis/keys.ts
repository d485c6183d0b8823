/** The names of what is kept in Redis and sent over it. `1` is the version of all of it: servers of two versions can share a Redis. */
export class Keys {
  readonly #prefix: string
  readonly #channels: string

  /**
   * `database` and `clientPrefix`: the client's own. Channels, unlike keys, are common to all databases, and no client
   * puts its prefix before them; messages of another database's rooms must not come for ours.
   */
  constructor (prefix: string, database = 0, clientPrefix = '') {
    this.#prefix = `${prefix}:1:`
    this.#channels = `${clientPrefix}${prefix}:1:${database}:`
  }

  /** What comes for a room. */
  channel (room: string): string {
    return this.#channels + tagged(room)
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

  #room (room: string): string {
    return this.#prefix + tagged(room)
  }
}

/** What stands between the braces decides a Cluster's slot: a room's keys are together, whatever it is called. */
function tagged (room: string): string {
  return `{${room.replace(/[%{}]/g, (character) => encodeURIComponent(character))}}`
}

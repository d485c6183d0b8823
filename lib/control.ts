import type { ConnectionFilter } from '../types/index.js'
import type { Sink } from './rooms/subscriber.js'
import type { Log } from './rooms/room-host.js'
import type { Rooms } from './rooms/rooms.js'
import type { Connections } from './transports/transport.js'
import { asFanOutError, errors } from './errors.js'
import { INTERNAL } from './rooms/rooms.js'

// The version is that of the commands.
const ROOM = `${INTERNAL}fan-out:1:control`

type Command = { filter: ConnectionFilter, reason: string } & ({ do: 'disconnect' } | { do: 'unsubscribe', room: string })

/** How servers have each other disconnect and unsubscribe clients: commands in an internal room, with the promises of any room. */
export class Control {
  readonly #rooms: Rooms
  readonly #connections: Connections
  readonly #log: Log

  constructor (rooms: Rooms, connections: Connections, log: Log) {
    this.#rooms = rooms
    this.#connections = connections
    this.#log = log
  }

  /** Listens for commands from now on. */
  async start (): Promise<void> {
    const sink: Sink = {
      subscribed () {},
      write: ({ entries }) => {
        for (const entry of entries) {
          if (entry.type === 'message') this.#obey(JSON.parse(entry.text) as Command)
          else this.#log.warn({ gap: entry.toJSON() }, 'fan-out: commands of other servers to disconnect or unsubscribe clients were lost')
        }
        return true
      },
      snapshot: () => true,
      ended () {}
    }
    await this.#rooms.subscribe(ROOM, sink, {})
  }

  /** Resolves when the command is on its way to every server. */
  async send (command: Command): Promise<void> {
    const { user, connection } = command.filter
    if (user === undefined && connection === undefined) throw new errors.InvalidRequest('say whose connections: { user } or { connection }')
    const [result] = await this.#rooms.publish([{ room: ROOM, text: JSON.stringify(command) }])
    if (result instanceof Error) throw asFanOutError(result)
  }

  #obey (command: Command): void {
    for (const connection of this.#connections.matching(command.filter)) {
      if (command.do === 'disconnect') connection.close(new errors.Disconnected(command.reason))
      else if (command.do === 'unsubscribe') connection.removeFrom(command.room, command.reason)
    }
  }
}

import type { Access } from './access.js'
import type { Api } from './api.js'
import type { Settings } from './options.js'
import type { Presence } from './presence/presence.js'
import type { Rooms } from './rooms/rooms.js'
import type { Connections } from './transports/transport.js'

/** What one registration of the plugin consists of; transports and routes are given it whole. */
export interface Services {
  readonly settings: Settings
  /** Names this server among others. */
  readonly server: string
  readonly rooms: Rooms
  readonly api: Api
  readonly access: Access
  readonly connections: Connections
  /** Undefined where none is kept. */
  readonly presence: Presence | undefined
  newConnectionId (): string
  /** The JSON of the frame that a WebSocket is welcomed with. */
  welcome (connection: string): string
}

import type { Client, ConnectOptions } from './types.js'
import { FanOutClient } from './client.js'

export { FanOutError } from './error.js'
export type {
  Client, ClientState, ClientStateEvent, ConnectOptions, CursorStorage, History, HistoryOptions, JoinOptions, Listener, ListenOptions, Member, Published, PublishOptions,
  Room, RoomEvents, RoomGap, RoomMessage, RoomPresence, RoomSnapshot, RoomState, RoomStateEvent, Token, Transport, WebSocketConstructor
} from './types.js'

/**
 * Connects to the rooms of a server: `url` is where they are, `/rooms` unless the server says otherwise, relative to the
 * page where there is one. Connects again whenever it is cut off, and resumes each room where it stood.
 */
export function connect (url: string | URL, options: ConnectOptions = {}): Client {
  const base = (globalThis as { location?: { href: string } }).location?.href
  // Its scheme, its host and path; the URLs of React Native have little more than `href`.
  const [,, s,, place] = /^(http|ws)(s?:\/\/)([^/]*@)?([^?#]*?)\/?([?#]|$)/.exec(new URL(String(url), base).href)!
  return new FanOutClient(`http${s}${place}`, options)
}

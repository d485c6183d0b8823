import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Client, ClientStateEvent, ConnectOptions, Room, RoomStateEvent, WebSocketConstructor } from '../../client/index.js'
import type { Frame } from '../helpers.js'
import { createServer } from 'node:http'
import WebSocket, { WebSocketServer } from 'ws'
import { connect } from '../../client/index.js'
import { until } from '../helpers.js'

export const TRANSPORTS = ['websocket', 'events'] as const

/** Node before 22 has none of its own. */
export const ws = WebSocket as unknown as WebSocketConstructor

type States = Array<Pick<ClientStateEvent, 'state' | 'transport' | 'retryIn' | 'error'>>

/** A client, closed when the test ends, and what it says of itself. */
export function open (t: Pick<Test, 'teardown'>, url: string, options: ConnectOptions = {}): Client & { states: States } {
  const client = connect(`${url}/rooms`, { WebSocket: ws, ...options })
  t.teardown(() => client.close())
  const states: States = []
  client.addEventListener('state', ({ state, transport, retryIn, error }) => states.push({ state, transport, retryIn, error }))
  return Object.assign(client, { states })
}

export interface Told { type: string, id?: string, data?: any, reason?: string, from?: string }

type RoomStates = Array<Pick<RoomStateEvent, 'state' | 'recovered' | 'error'>>

/** What a room tells from now on, but for its states. */
export function record (room: Room<any>): { events: Told[], states: RoomStates, data: any[] } {
  const events: Told[] = []
  const states: RoomStates = []
  for (const type of ['message', 'gap', 'snapshot', 'join', 'leave'] as const) {
    room.addEventListener(type, (event) => events.push({ ...event, type: event.type } as Told))
  }
  room.addEventListener('state', ({ state, recovered, error }) => states.push({ state, recovered, error }))
  return { events, states, get data () { return events.filter(({ type }) => type === 'message').map(({ data }) => data) } }
}

export async function joined (room: Room<any>): Promise<void> {
  await until(() => room.state === 'joined', `${room.name} to be joined`)
}

/** One connection to a scripted server. */
export interface Peer {
  /** What the client has sent. */
  frames: Frame[]
  send (...frames: Array<object | string>): void
  close (code?: number): void
  /** The last that it sent of this type, once there is one. */
  asked (type: string): Promise<Frame>
}

export interface Script {
  /** Each connection, the `n`th, from 0. Says welcome where there is none. */
  open? (peer: Peer, n: number): void
  /** Each frame. Answers subscribes with `1-0` where there is none. */
  frame? (peer: Peer, frame: Frame, n: number): void
  http? (request: IncomingMessage, response: ServerResponse, n: number): void
}

export const welcome = { type: 'welcome', protocol: 1, connection: 'c', server: 's', heartbeat: 25_000, limits: { frame: 65_536, roomsPerConnection: 100, framesPerSecond: 50 } }

/** A server that does whatever the script says. */
export async function startScripted (t: Pick<Test, 'teardown'>, script: Script = {}): Promise<{ url: string, peers: Peer[], requests: Array<{ url: string, at: number }> }> {
  const peers: Peer[] = []
  const requests: Array<{ url: string, at: number }> = []
  const server = createServer((request, response) => {
    requests.push({ url: `${request.method} ${request.url}`, at: Date.now() })
    if (script.http) script.http(request, response, requests.length - 1)
    else response.writeHead(404).end()
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => {
    const n = peers.length
    const frames: Frame[] = []
    const peer: Peer = {
      frames,
      send: (...frames) => { for (const frame of frames) socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)) },
      close: (code) => code === undefined ? socket.terminate() : socket.close(code),
      asked: async (type) => await until(() => frames.findLast((frame) => frame.type === type), `a frame ${type}`)
    }
    peers.push(peer)
    socket.on('error', () => {}).on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame
      frames.push(frame)
      if (script.frame) script.frame(peer, frame, n)
      else if (frame.type === 'subscribe') peer.send({ type: 'subscribed', room: frame['room'], id: '1-0', replayed: 0, ref: frame['ref'] })
    })
    if (script.open) script.open(peer, n)
    else peer.send(welcome)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, peers, requests }
}

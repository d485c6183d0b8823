import type { FastifyInstance } from 'fastify'
import type { FanOutOptions } from '../types/index.js'
import type { Settings } from './options.js'
import type { Services } from './services.js'
import { randomBytes } from 'node:crypto'
import { Access } from './access.js'
import { Api } from './api.js'
import { createBroker } from './brokers/index.js'
import { Control } from './control.js'
import { errors } from './errors.js'
import { readOptions } from './options.js'
import { nameRedis } from './redis-namespace.js'
import { Presence } from './presence/presence.js'
import { addRoutes } from './routes/index.js'
import { isRoomName } from './room-name.js'
import { Rooms } from './rooms/rooms.js'
import { systemScheduler } from './scheduler.js'
import { startWith, within } from './start.js'
import { Connections } from './transports/transport.js'
import { useWebSocketServer } from './websocket-server.js'

/** Options -> broker -> rooms -> transports -> routes, and the order in which they end. */
export async function fanOut (app: FastifyInstance, options: FanOutOptions): Promise<void> {
  const settings = readOptions(options)
  if (app.hasDecorator(settings.name)) throw new errors.InvalidOption(`options.name: the app already has a decorator "${settings.name}"; a second registration takes another name and another prefix`)
  await useWebSocketServer(app, settings)

  const { broker, redis } = await createBroker(settings, app.log)
  const { history, snapshot } = settings
  const rooms = new Rooms({
    broker,
    log: app.log,
    scheduler: systemScheduler,
    linger: settings.linger,
    timeout: settings.brokerOptions.publishTimeout,
    limits: { tail: { bytes: Math.min(TAIL, history.bytes), messages: history.size, maxAge: history.maxAge }, inbox: INBOX, page: Math.max(history.size, PAGE), replay: settings.limits.replay, slice: SLICE },
    // The servers' own rooms are no affair of the app's; and one whose snapshot fails is ended.
    snapshot: snapshot && (async (room) => isRoomName(room) ? JSON.stringify(await snapshot(room)) : undefined)
  })
  const connections = new Connections(settings.limits)
  const control = new Control(rooms, connections, app.log)
  const server = randomBytes(4).toString('hex')
  const presence = settings.presence ? new Presence(rooms, server) : undefined
  let started = false
  const api = new Api({ settings, rooms, connections, control, presence, log: app.log, ready: () => started && rooms.reachable })
  let connectionCount = 0
  const services: Services = {
    settings,
    server,
    rooms,
    api,
    access: new Access(settings),
    connections,
    presence,
    newConnectionId: () => `${server}-${(++connectionCount).toString(36)}`,
    welcome: welcomeOf(settings, server)
  }

  app.decorate(settings.name, api)
  await app.register(addRoutes, services)

  // Clients are told to leave, and then the server stops listening at once: while a server is closing Fastify answers
  // 503, which would end an EventSource that comes back for ever, where a refused connection would not. Requests in
  // flight end before the broker is let go, so that what they publish is acknowledged.
  let leaving: ReturnType<Connections['drain']> | undefined
  app.addHook('preClose', async () => {
    leaving = connections.drain(settings.close.drain, settings.close.timeout)
    await leaving.sent
  })
  app.addHook('onClose', async () => {
    await leaving?.gone
    connections.stop()
    if (started && presence !== undefined) await within(FAREWELL, presence.close()).catch(() => {})
    await rooms.close()
  })

  const begin = async (): Promise<void> => {
    await rooms.start()
    await presence?.start()
    await control.start()
    started = true
  }
  try {
    await startWith(settings.brokerOptions, app.log, begin, () => connections.draining)
    if (redis?.status === 'ready') await nameRedis(app, `fan-out:${settings.name}`, redis)
  } catch (error) {
    // Nobody closes an app that did not start.
    await rooms.close()
    throw error
  }
}

function welcomeOf ({ heartbeat, limits: { frame, roomsPerConnection, framesPerSecond } }: Settings, server: string): Services['welcome'] {
  // All but the connection is the same for each.
  const rest = JSON.stringify({ server, heartbeat: heartbeat.interval, limits: { frame, roomsPerConnection, framesPerSecond } }).slice(1)
  return (connection) => `{"type":"welcome","protocol":1,"connection":"${connection}",${rest}`
}

// Messages that one read asks for, or as many as a window has: a broker may keep more than that.
const PAGE = 1_000
// Of a room's tail, in bytes, and of the messages that wait for its repair.
const TAIL = 1024 * 1024
const INBOX = 1_000
// Writes to sockets before others have a turn: some 6 ms of them.
const SLICE = 1_000
// How long the other servers are told that this one goes, in ms; where they cannot be, they find out.
const FAREWELL = 500

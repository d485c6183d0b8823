import type { FastifyInstance } from 'fastify'
import type { FanOutOptions } from '../types/index.js'
import type { Services } from './services.js'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Access } from './access.js'
import { Api } from './api.js'
import { createBroker } from './brokers/index.js'
import { Control } from './control.js'
import { errors } from './errors.js'
import { readOptions } from './options.js'
import { Presence } from './presence/presence.js'
import { addRoutes } from './routes/index.js'
import { isRoomName } from './room-name.js'
import { Rooms } from './rooms/rooms.js'
import { systemScheduler } from './scheduler.js'
import { Connections } from './transports/transport.js'
import { useWebSocketServer } from './websocket-server.js'

/** Options -> broker -> rooms -> transports -> routes, and the order in which they end. */
export async function fanOut (app: FastifyInstance, options: FanOutOptions): Promise<void> {
  const settings = readOptions(options)
  if (app.hasDecorator(settings.name)) throw new errors.InvalidOption(`options.name: the app already has a decorator "${settings.name}"; a second registration takes another name and another prefix`)
  await useWebSocketServer(app, settings)

  const broker = await createBroker(settings, app.log)
  const { history, snapshot } = settings
  const rooms = new Rooms({
    broker,
    log: app.log,
    scheduler: systemScheduler,
    linger: settings.linger,
    timeout: settings.brokerOptions.publishTimeout,
    limits: { tail: { bytes: Math.min(TAIL, history.bytes), messages: history.size, maxAge: history.maxAge }, inbox: INBOX, page: history.size, replay: settings.limits.replay },
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
    newConnectionId: () => `${server}-${(++connectionCount).toString(36)}`
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

  const { start, startTimeout } = settings.brokerOptions
  let trouble: unknown
  const late = new AbortController()
  const starting = (async () => {
    // Asked after each pause: what was closed meanwhile must not be opened again.
    while (!connections.draining && !late.signal.aborted) {
      try {
        await startRooms(rooms, presence, control)
        started = true
        return
      } catch (error) {
        // What does not pass is told at once.
        if (start === 'wait' && !(error instanceof errors.BrokerAway)) throw error
        if (start === 'background' && trouble === undefined) app.log.error({ err: error }, 'fan-out: the broker could not be reached, trying again')
        trouble = error
      }
      await sleep(AGAIN * (0.5 + Math.random()), undefined, { ref: start === 'wait' })
    }
  })()
  if (start === 'background') return
  await within(startTimeout, starting).catch(async (error: unknown) => {
    late.abort()
    // No app is closed that did not start.
    await rooms.close()
    throw error instanceof errors.BrokerAway ? trouble ?? error : error
  })
}

// Between two tries to start, in ms.
const AGAIN = 500
// Of a room's tail, in bytes, and of the messages that wait for its repair.
const TAIL = 1024 * 1024
const INBOX = 1_000
// How long the other servers are told that this one goes, in ms; where they cannot be, they find out.
const FAREWELL = 500

async function startRooms (rooms: Rooms, presence: Presence | undefined, control: Control): Promise<void> {
  await rooms.start()
  await presence?.start()
  await control.start()
}

async function within<T> (timeout: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new errors.BrokerAway(`it was not reached within ${timeout} ms`)), timeout)
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

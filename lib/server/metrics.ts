import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { FastifyInstance } from 'fastify'

/** `/metrics`, in Prometheus's text format: the plugin's own counts, and the process's. */
export function addMetrics (app: FastifyInstance): void {
  // Not prom-client's global registry: two servers in one process must not fight over names.
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const stats = () => app.rooms.stats()

  const gauge = (name: string, help: string, read: () => number) => {
    return new Gauge({ name: `fan_out_${name}`, help, registers, collect () { this.set(read()) } })
  }
  // The plugin counts already: at each scrape the counter takes its total over.
  const counter = (name: string, help: string, read: () => number) => {
    return new Counter({ name: `fan_out_${name}_total`, help, registers, collect () { this.reset(); this.inc(read()) } })
  }

  gauge('ready', '1 where new clients are welcome, otherwise 0', () => app.rooms.ready ? 1 : 0)
  gauge('rooms', 'Rooms that this server follows', () => stats().rooms)
  gauge('subscriptions', 'Subscriptions on this server, of all rooms', () => stats().subscriptions)
  // eslint-disable-next-line no-new -- it lives in the registry
  new Gauge({
    name: 'fan_out_connections',
    help: 'Clients connected to this server',
    labelNames: ['transport'],
    registers,
    collect () {
      const { connections } = stats()
      this.set({ transport: 'websocket' }, connections.websocket)
      this.set({ transport: 'events' }, connections.events)
    }
  })
  counter('published', 'Messages published through this server', () => stats().published)
  counter('received', 'Messages received from the broker', () => stats().received)
  counter('delivered', 'Messages handed to subscribers, one for each of them', () => stats().delivered)
  counter('gaps', 'Gaps told to subscribers: messages that they have lost', () => stats().gaps)
  counter('repairs', 'Holes in the live stream that were read from the broker', () => stats().repairs)
  counter('slow', 'Connections closed because they took less than their rooms sent', () => stats().slow)

  app.get('/metrics', { logLevel: 'warn' }, async (_request, reply) => {
    reply.header('content-type', registry.contentType).header('cache-control', 'no-store')
    return registry.metrics()
  })
}

import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import fanOut from '../../index.js'
import { addHealth } from './health.js'
import { addMetrics } from './metrics.js'
import { addPage } from './page.js'
import { createTokens } from './tokens.js'
import type { Settings } from './settings.js'

// Fastify's own limit of 100 characters would answer a longer room name with 414.
const LONGEST_ROOM = 200

/** The server behind `npm start`, ready to listen or to be injected into. */
export async function buildServer (
  settings: Settings, { logger = false }: Pick<FastifyServerOptions, 'logger'> = {}
): Promise<FastifyInstance> {
  const app = Fastify({
    logger,
    routerOptions: { maxParamLength: LONGEST_ROOM },
    // While it closes, an EventSource that comes back is answered by the plugin (200: come back later); Fastify's own 503
    // would end it for ever.
    return503OnClosing: false
  })

  const { tokenSecret } = settings
  await app.register(fanOut, {
    // Two lines for each of thousands of clients that come and go tell nobody anything. With
    // `disableRequestLogging` the errors would be silent, too.
    logLevel: 'warn',
    broker: settings.broker,
    presence: true,
    publishKeys: [{ id: 'FAN_OUT_PUBLISH_KEY', key: settings.publishKey }],
    // An EventSource can set no header, so where tokens are asked for they may stand in its URL.
    ...(tokenSecret === undefined ? {} : { ...createTokens(tokenSecret), queryToken: true })
  })
  addHealth(app)
  addMetrics(app)
  addPage(app, { tokens: tokenSecret !== undefined })

  return app
}

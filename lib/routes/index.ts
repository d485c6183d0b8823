import type { FastifyInstance, FastifySchemaCompiler } from 'fastify'
import type { Services } from '../services.js'
import { Ajv } from 'ajv'
import { redactingSerializer } from '../redact.js'
import { batchRoute } from './batch.js'
import { addBodyParser } from './body.js'
import { eventsRoute } from './events.js'
import { clientRoutes } from './client.js'
import { addGuard } from './guard.js'
import { historyRoute } from './history.js'
import { presenceRoute } from './presence.js'
import { publishRoute } from './publish.js'
import { schemaError } from './schemas.js'
import { upgradeRoute } from './upgrade.js'

// The router counts the characters of the decoded name.
const LONGEST_ROOM = 200

/** All routes, in a scope of their own: fastify-plugin ignores a prefix, and our parsers and compilers are not the app's. */
export async function addRoutes (app: FastifyInstance, services: Services): Promise<void> {
  const { prefix, limits, logLevel, logSerializers } = services.settings
  const longest = maxParamLength(app)
  if (longest < LONGEST_ROOM) app.log.info(`fan-out: room names of more than ${longest} characters in a URL are answered with 414; set routerOptions.maxParamLength to ${LONGEST_ROOM} to take all`)

  await app.register(async (scope) => {
    addGuard(scope)
    addBodyParser(scope, limits.body)
    scope.setValidatorCompiler(compileValidator)
    scope.setSchemaErrorFormatter(schemaError)
    scope.setSerializerCompiler(() => serialize)
    // One of the app's would come before that, and may wrap what is sent.
    scope.setReplySerializer(serialize)
    // Else a connection that is kept alive would keep the server from closing until its client lets go of it.
    scope.addHook('onSend', (request, reply, _payload, done) => {
      if (services.connections.draining && request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
      done()
    })
    upgradeRoute(scope, services)
    publishRoute(scope, services)
    batchRoute(scope, services)
    historyRoute(scope, services)
    eventsRoute(scope, services)
    presenceRoute(scope, services)
    if (services.settings.client) clientRoutes(scope)
  }, {
    prefix: prefix.replace(/\/+$/, ''),
    logSerializers: { ...logSerializers, req: redactingSerializer(app.log, logSerializers?.['req']) },
    ...(logLevel !== undefined && { logLevel })
  } as object)
}

// The app's compiler may be for other schemas than JSON Schema. A body is text that is handed on, and so must not be
// coerced: its routes check it themselves.
const ajv = new Ajv({ coerceTypes: 'array', useDefaults: true, strict: false })
const compileValidator: FastifySchemaCompiler<object> = ({ schema, httpPart }) => httpPart === 'body' ? () => true : ajv.compile(schema)

// Schemas of responses are there to be documented. What Fastify hands over for an error inherits from it, and shows nothing by itself.
function serialize (payload: unknown): string {
  if (!(payload instanceof Error)) return JSON.stringify(payload)
  const { statusCode, code, error, message } = payload as Error & Record<'statusCode' | 'code' | 'error', unknown>
  return JSON.stringify({ statusCode, code, error, message })
}

function maxParamLength ({ initialConfig }: FastifyInstance): number {
  const { maxParamLength, routerOptions } = initialConfig as { maxParamLength?: number, routerOptions?: { maxParamLength?: number } }
  return routerOptions?.maxParamLength ?? maxParamLength ?? 100
}

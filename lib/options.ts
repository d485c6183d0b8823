import type { Options as AjvOptions } from 'ajv'
import type { FanOutOptions } from '../types/index.js'
import { Ajv } from 'ajv'
import { errors } from './errors.js'

type Deep<T, Optional extends keyof T> = Required<Omit<T, Optional>> & Pick<T, Optional>

type Handed = 'authenticate' | 'authorize' | 'snapshot' | 'hooks'
type Nested = 'brokerOptions' | 'history' | 'heartbeat' | 'close' | 'limits'

/** The options with every default filled in. */
export type Settings = Deep<Omit<FanOutOptions, Nested>, Handed> & {
  brokerOptions: Required<NonNullable<FanOutOptions['brokerOptions']>>
  history: Required<NonNullable<FanOutOptions['history']>>
  heartbeat: Required<NonNullable<FanOutOptions['heartbeat']>>
  close: Required<NonNullable<FanOutOptions['close']>>
  limits: Deep<NonNullable<FanOutOptions['limits']>, 'connectionsPerAddress' | 'replay'>
  logLevel?: string
  logSerializers?: Record<string, (value: unknown) => unknown>
}

const KiB = 1024
const MiB = 1024 * KiB
const MINUTE = 60_000
// The longest delay of a timer.
const MAX_TIME = 2 ** 31 - 1

const time = (value: number, minimum = 1): object => ({ type: 'integer', minimum, maximum: MAX_TIME, default: value })
const size = (value: number, minimum = 1): object => ({ type: 'integer', minimum, maximum: Number.MAX_SAFE_INTEGER, default: value })
const object = (properties: object): object => ({ type: 'object', additionalProperties: false, default: {}, properties })
const flag = { type: 'boolean', default: false }
const handed = { isFunction: true }

/** The JSON Schema of the options, with their defaults: nothing else reads what a user passed. */
export const optionsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    prefix: { type: 'string', pattern: '^(/.*)?$', default: '/rooms' },
    name: { type: 'string', minLength: 1, default: 'rooms' },
    broker: { default: 'memory:' },
    brokerOptions: object({
      keyPrefix: { type: 'string', minLength: 1, default: 'fan-out' },
      start: { enum: ['wait', 'background'], default: 'wait' },
      startTimeout: time(8_000),
      publishTimeout: time(5_000),
      replicas: { type: 'integer', minimum: 0, default: 0 },
      failover: { enum: ['detect', 'suspect', 'trust'], default: 'detect' }
    }),
    history: object({ size: { ...size(1_000), maximum: 1_000_000 }, maxAge: time(5 * MINUTE), bytes: size(4 * MiB) }),
    idempotencyTtl: time(5 * MINUTE),
    authenticate: handed,
    authorize: handed,
    snapshot: handed,
    publishKeys: {
      type: 'array',
      default: [],
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['id', 'key'],
        properties: {
          id: { type: 'string', minLength: 1 },
          key: { type: 'string', minLength: 1 },
          rooms: { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } }
        }
      }
    },
    origins: {
      default: 'same',
      if: { type: 'string' },
      then: { enum: ['same', '*'] },
      else: { type: 'array', items: { if: { type: 'string' }, then: { minLength: 1 }, else: { isRegExp: true } } }
    },
    queryToken: flag,
    clientPublish: flag,
    presence: flag,
    client: flag,
    compression: flag,
    hooks: { type: 'object', additionalProperties: false, properties: { onRequest: {}, preHandler: {} } },
    heartbeat: object({ interval: time(25_000), timeout: time(10_000) }),
    linger: time(5_000, 0),
    close: object({ drain: time(0, 0), timeout: time(5_000, 0) }),
    limits: object({
      frame: { ...size(64 * KiB, 128), maximum: 2 ** 30 },
      body: { ...size(MiB), maximum: 2 ** 28 },
      batch: size(1_000),
      roomsPerConnection: size(100),
      framesPerSecond: size(50),
      connections: size(50_000),
      connectionsPerAddress: { type: 'integer', minimum: 1 },
      queue: size(MiB),
      firstFrame: time(5_000),
      replay: { type: 'integer', minimum: 1 }
    }),
    // Fastify's own options of register().
    logLevel: { type: 'string' },
    logSerializers: {}
  }
}

const ajvOptions: AjvOptions = { useDefaults: true, allErrors: false, strict: false }
const ajv = new Ajv(ajvOptions)
ajv.addKeyword({ keyword: 'isFunction', validate: (_: boolean, value: unknown) => typeof value === 'function', error: { message: 'must be a function' } })
ajv.addKeyword({ keyword: 'isRegExp', validate: (_: boolean, value: unknown) => value instanceof RegExp, error: { message: 'must be "same", "*", or an array of origins and regular expressions' } })
const validate = ajv.compile<Settings>(optionsSchema)

/** The options, checked, with defaults. Throws FAN_OUT_ERR_INVALID_OPTION, naming the option. */
export function readOptions (options: FanOutOptions): Settings {
  // A broker may be a plain object with a state of its own.
  const { broker, ...others } = options
  const settings = { ...copy(others) as object, ...(broker !== undefined && { broker }) }
  if (!validate(settings)) {
    const [problem] = validate.errors ?? []
    const path = ['options', ...(problem?.instancePath ?? '').split('/').slice(1)].join('.')
    if (problem?.keyword === 'additionalProperties') {
      const known = Object.keys((problem.parentSchema ?? schemaAt(problem.instancePath))?.properties ?? {})
      throw new errors.InvalidOption(`${path}.${String(problem.params['additionalProperty'])} is not an option${known.length > 0 ? `; known here are ${known.join(', ')}` : ''}`)
    }
    const allowed = problem?.keyword === 'enum' ? `: ${(problem.params['allowedValues'] as string[]).join(', ')}` : ''
    throw new errors.InvalidOption(`${path} ${problem?.message ?? 'is invalid'}${allowed}`)
  }
  const ids = settings.publishKeys.map(({ id }) => id)
  const twice = ids.find((id, i) => ids.indexOf(id) !== i)
  if (twice !== undefined) throw new errors.InvalidOption(`options.publishKeys has two keys with the id "${twice}"`)
  return settings
}

function schemaAt (path: string): { properties?: object } | undefined {
  const [, name = ''] = path.split('/')
  return name === '' ? optionsSchema : (optionsSchema.properties as Record<string, object>)[name]
}

/** Defaults are written into it, so the user's own object is left as it is; instances are handed on. */
function copy (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copy)
  if (typeof value !== 'object' || value === null) return value
  // A module's namespace, for one, has no prototype.
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => [key, copy(item)]))
}

type Serializer = (value: unknown) => unknown
type WithSerializers = { [key: symbol]: Record<string, Serializer> | undefined }

const TOKEN = /(access_token=)[^&\s"]*/gi

/**
 * The app's own serializer of requests, with tokens struck out of its strings: a URL is logged before anything of ours
 * sees the request, and holds a token wherever a client puts one, switched on or not.
 */
export function redactingSerializer (logger: unknown): Serializer {
  const serialize = (logger as WithSerializers)[Symbol.for('pino.serializers')]?.['req'] ?? ((value) => value)
  return (request) => redact(serialize(request))
}

function redact (value: unknown): unknown {
  if (typeof value === 'string') return value.replace(TOKEN, '$1[redacted]')
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redact(item)]))
}

export type Serializer = (value: unknown) => unknown
type WithSerializers = { [key: symbol]: Record<string, Serializer> | undefined }

// One parameter of a query, wherever in a text.
const PARAMETER = /([?&][^=&#\s]*)=[^&#\s]*/g

/**
 * A serializer of requests (by default the app's own) with tokens struck out of its strings: a URL is logged before
 * anything of ours sees the request, and holds a token wherever a client puts one, switched on or not.
 */
export function redactingSerializer (logger: unknown, own?: Serializer): Serializer {
  const serialize = own ?? (logger as WithSerializers)[Symbol.for('pino.serializers')]?.['req'] ?? ((value) => value)
  return (request) => redact(serialize(request))
}

function redact (value: unknown): unknown {
  if (typeof value === 'string') return value.replace(PARAMETER, (parameter, name: string) => isToken(name.slice(1)) ? `${name}=[redacted]` : parameter)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redact(item)]))
}

function isToken (name: string): boolean {
  // The server takes a name for what it is decoded.
  const decoded = new URLSearchParams(name).keys().next().value
  return decoded?.toLowerCase() === 'access_token'
}

export type Serializer = (value: unknown) => unknown
type WithSerializers = { [key: symbol]: Record<string, Serializer> | undefined }

// One parameter of a query, wherever in a text.
const PARAMETER = /([?&][^=&#\s]*)=[^&#\s]*/g
// In the list of subprotocols, and in Authorization: an app may have the headers logged.
const BEARER = /\b(bearer(?:\.| +))[^\s,]+/gi
// How deep a serializer's answer is looked into: it may be any object of the app's.
const DEPTH = 4

/**
 * A serializer of requests (by default the app's own) with tokens struck out of its strings: a URL is logged before
 * anything of ours sees the request, and holds a token wherever a client puts one, switched on or not.
 */
export function redactingSerializer (logger: unknown, own?: Serializer): Serializer {
  const serialize = own ?? (logger as WithSerializers)[Symbol.for('pino.serializers')]?.['req'] ?? ((value) => value)
  return (request) => redact(serialize(request))
}

function redact (value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null || depth > DEPTH) return value
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  // A plain object, or Fastify's query, whose prototype is an empty one.
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, isToken(key) ? '[redacted]' : redact(item, depth + 1)]))
}

function redactText (text: string): string {
  return text
    .replace(PARAMETER, (parameter, name: string) => isToken(name.slice(1)) ? `${name}=[redacted]` : parameter)
    .replace(BEARER, '$1[redacted]')
}

/** Whether the server would take a parameter of this name for a token: it decodes names first. */
function isToken (name: string): boolean {
  return new URLSearchParams(name).keys().next().value?.toLowerCase() === 'access_token'
}

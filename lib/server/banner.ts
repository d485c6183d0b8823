import type { Settings } from './settings.js'

/** What is printed when the server listens: where, the page, and a line that publishes. */
export function banner (settings: Settings, port: number): string {
  const { publishKey, publishKeyMadeUp, tokenSecret } = settings
  const origin = `http://${reachable(settings.host)}:${port}`
  // A key that was given is a secret of the operator's: the line takes it from the environment.
  const key = publishKeyMadeUp ? publishKey : '$FAN_OUT_PUBLISH_KEY'
  const lines = [
    `fastify-fan-out listens on http://${bracketed(settings.host)}:${port}, broker ${withoutPassword(settings.broker)}`,
    `Live page:    ${origin}/`,
    `Publish:      curl ${origin}/rooms/demo -H "authorization: Bearer ${key}" -H "content-type: application/json" -d '{"hello":"world"}'`
  ]
  if (publishKeyMadeUp) lines.push('Publish key:  made up for this run; set FAN_OUT_PUBLISH_KEY to choose it')
  if (tokenSecret === undefined) lines.push('Subscribing:  open to everyone; set FAN_OUT_TOKEN_SECRET to ask for tokens')
  else lines.push('Subscribing:  with a JWT signed by FAN_OUT_TOKEN_SECRET')
  // RFC 7518, section 3.2: shorter keys can be guessed from a single token.
  if (tokenSecret !== undefined && Buffer.byteLength(tokenSecret) < 32) {
    lines.push('Warning:      FAN_OUT_TOKEN_SECRET is shorter than 32 bytes, and can be guessed from one token')
  }
  return lines.join('\n') + '\n'
}

function bracketed (host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** An address for "every interface" is none to connect to. */
function reachable (host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return bracketed(host === '::' ? '::1' : host)
}

function withoutPassword (broker: string): string {
  const [, scheme = '', hosts] = /^([^:]+:)(?:\/\/(?:.*@)?([^/?#]*))?/.exec(broker) ?? []
  return hosts === undefined ? scheme : `${scheme}//${hosts}`
}

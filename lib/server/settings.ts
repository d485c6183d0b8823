import { randomBytes } from 'node:crypto'

/** What the program is told by its environment, checked. */
export interface Settings {
  host: string
  port: number
  /** One of the broker URLs of the docs; may carry a password, so never print it whole. */
  broker: string
  publishKey: string
  /** True where no key was given and this one was made up: only then may it be printed. */
  publishKeyMadeUp: boolean
  /** Where set, subscribers need a JWT signed with it (HS256). */
  tokenSecret?: string
}

/** A variable of the environment that cannot be used. The message begins with its name. */
export class SettingsError extends Error {
  readonly variable: string

  constructor (variable: string, problem: string) {
    super(`${variable} ${problem}`)
    this.name = 'SettingsError'
    this.variable = variable
  }
}

/** The lines that `--help` prints: the one list of what is read, with its defaults. */
export const VARIABLES: readonly (readonly [name: string, meaning: string])[] = [
  ['HOST', 'the address to listen on (127.0.0.1; 0.0.0.0 or :: for every interface)'],
  ['PORT', 'the port to listen on (3000; 0 for any free one)'],
  ['FAN_OUT_BROKER', 'the URL of the broker that the servers share (memory:, which shares nothing)'],
  ['FAN_OUT_PUBLISH_KEY', 'the bearer token that publishing and presence ask for (made up and printed)'],
  ['FAN_OUT_TOKEN_SECRET', 'where set, subscribers need a JWT signed with it, HS256 (everyone may subscribe)']
]

// What RFC 6750 allows after "Bearer ": anything else could never be presented.
const BEARER = /^[A-Za-z0-9\-._~+/]+=*$/

type Environment = Readonly<Record<string, string | undefined>>

export function readSettings (env: Environment): Settings {
  // An empty HOST, PORT or FAN_OUT_BROKER is what compose files pass for "not set". An empty secret
  // is more likely one that failed to arrive, and taking it for "not set" would open the doors.
  const publishKey = secret(env, 'FAN_OUT_PUBLISH_KEY')
  const tokenSecret = secret(env, 'FAN_OUT_TOKEN_SECRET')
  if (publishKey !== undefined && !BEARER.test(publishKey)) {
    throw new SettingsError('FAN_OUT_PUBLISH_KEY', 'may hold letters, digits and -._~+/ only, since it is sent as a bearer token')
  }

  return {
    host: env.HOST || '127.0.0.1',
    port: readPort(env.PORT),
    broker: readBroker(env.FAN_OUT_BROKER),
    publishKey: publishKey ?? randomBytes(24).toString('base64url'),
    publishKeyMadeUp: publishKey === undefined,
    ...(tokenSecret === undefined ? {} : { tokenSecret })
  }
}

function secret (env: Environment, name: string): string | undefined {
  const value = env[name]
  if (value !== undefined && value.trim() === '') {
    throw new SettingsError(name, 'is set but empty: give it a value, or unset it')
  }
  return value
}

function readPort (text: string | undefined): number {
  if (!text) return 3000
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65535) {
    throw new SettingsError('PORT', `must be a whole number from 0 to 65535, not ${JSON.stringify(text)}`)
  }
  return port
}

function readBroker (text: string | undefined): string {
  if (!text) return 'memory:'
  // Which kinds there are, and whether the rest of it is right, is for the brokers to say. The value is
  // not repeated in what is thrown, since it may hold a password.
  if (!/^[a-z][a-z0-9+.-]*:/.test(text)) {
    throw new SettingsError('FAN_OUT_BROKER', 'is not a URL: expected something like memory: or redis://127.0.0.1:6379')
  }
  return text
}

import type { Authenticator, ConnectionOptions } from '@nats-io/transport-node'
import { readFile } from 'node:fs/promises'
import { credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node'
import { errors } from '../../errors.js'

/** Of a NATS server. An IPv6 address is without its brackets. */
export interface Address { host: string, port: number }

/** What a URL says. */
export interface NatsOptions {
  /** The servers to begin with; they name the others of their cluster. */
  addresses: Address[]
  user?: string
  password?: string
  token?: string
  /** Paths of files, read at every connect: they may be renewed. */
  creds?: string
  nkey?: string
  /** Only with TLS. Without it TLS is used where the server offers it. */
  tls: boolean
  tlsCa?: string
  tlsCert?: string
  tlsKey?: string
}

type Credentials = Pick<ConnectionOptions, 'user' | 'pass' | 'token' | 'authenticator'>
/** In PEM. */
interface Certificates { ca?: string, cert?: string, key?: string }

const PORT = 4222
const parameters = ['creds', 'nkey', 'tls', 'tlsCa', 'tlsCert', 'tlsKey'] as const

/**
 * Reads `nats://[user:password@|token@]host[:port][,host[:port]…][?creds=<file>|?nkey=<file of the seed>][&tls=true]
 * [&tlsCa=<file>][&tlsCert=<file>&tlsKey=<file>]`, or the same with `nats+jetstream:`. The URL is never repeated in an
 * error: it may carry a password.
 */
export function parseNatsUrl (url: string): NatsOptions {
  const [, userInfo, hosts = '', path = '', query = ''] = /^nats(?:\+jetstream)?:\/\/(?:([^/?#@]*)@)?([^/?#@]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(url) ?? []
  const addresses = hosts.split(',').map(toAddress)
  if (addresses.includes(undefined)) throw wrong('is no NATS URL, which are nats://[user:password@|token@]host[:port][,host[:port]…]; a / or @ in a password is written %2F or %40')
  if (path !== '' && path !== '/') throw wrong('a NATS URL takes no path')

  const given = new URLSearchParams(query)
  const unknown = [...given.keys()].find((name) => !(parameters as readonly string[]).includes(name))
  if (unknown !== undefined) throw wrong(`a NATS URL takes no ?${unknown}=, but ${parameters.join(', ')}`)
  const { tls = 'false', ...files } = Object.fromEntries(given) as { [Name in typeof parameters[number]]?: string }
  if (tls !== 'true' && tls !== 'false') throw wrong('?tls takes true or false')
  if ((files.tlsCert === undefined) !== (files.tlsKey === undefined)) throw wrong('?tlsCert and ?tlsKey go together')
  if ([userInfo, files.creds, files.nkey].filter((kind) => kind !== undefined).length > 1) throw wrong('takes one of user and password, token, ?creds and ?nkey')

  return {
    addresses: addresses as Address[],
    ...readUserInfo(userInfo),
    ...files,
    tls: tls === 'true' || files.tlsCa !== undefined || files.tlsCert !== undefined
  }
}

/** What the files of a URL hold, as nats.js takes it. Rejects where one cannot be read, or is of another kind. */
export async function readFiles (options: NatsOptions): Promise<{ credentials: Credentials, certificates: Certificates }> {
  const { user, password, token, creds, nkey, tlsCa, tlsCert, tlsKey } = options
  const credentials: Credentials = {}
  if (user !== undefined) credentials.user = user
  if (password !== undefined) credentials.pass = password
  if (token !== undefined) credentials.token = token
  if (creds !== undefined) credentials.authenticator = authenticator('creds', credsAuthenticator, await read('creds', creds))
  if (nkey !== undefined) credentials.authenticator = authenticator('nkey', nkeyAuthenticator, (await read('nkey', nkey)).trim())
  const certificates: Certificates = {}
  if (tlsCa !== undefined) certificates.ca = await read('tlsCa', tlsCa)
  if (tlsCert !== undefined) certificates.cert = await read('tlsCert', tlsCert)
  if (tlsKey !== undefined) certificates.key = await read('tlsKey', tlsKey)
  return { credentials, certificates }
}

function authenticator (name: string, create: (content: Uint8Array) => Authenticator, content: string): Authenticator {
  const made = create(new TextEncoder().encode(content))
  try {
    made('a nonce')
  } catch {
    throw wrong(`the file of ?${name} holds ${name === 'nkey' ? 'no seed of an nkey' : 'no credentials'}`)
  }
  return made
}

async function read (name: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw wrong(`the file of ?${name} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** `user:password`, or a token, which has no colon. */
function readUserInfo (text: string | undefined): Pick<NatsOptions, 'user' | 'password' | 'token'> {
  if (text === undefined || text === '') return {}
  const colon = text.indexOf(':')
  if (colon === -1) return { token: decoded(text) }
  return { user: decoded(text.slice(0, colon)), password: decoded(text.slice(colon + 1)) }
}

/** `undefined` where it is none. */
export function toAddress (text: string): Address | undefined {
  if (!URL.canParse(`nats://${text}`)) return undefined
  const { hostname, port } = new URL(`nats://${text}`)
  return hostname === '' ? undefined : { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? PORT : Number(port) }
}

function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong('a % in the user, the password or the token of a URL is written %25')
  }
}

function wrong (what: string): Error {
  return new errors.InvalidOption(`options.broker: ${what}`)
}

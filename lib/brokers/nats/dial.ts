import type { NatsConnection as Client, ConnectionOptions, ServerInfo } from '@nats-io/transport-node'
import type { Socket } from 'node:net'
import type { Scheduler } from '../../scheduler.js'
import type { Address, NatsOptions } from './url.js'
import { createConnection, isIP } from 'node:net'
import { connect } from '@nats-io/transport-node'
import { readFiles, toAddress } from './url.js'

// In ms: how long a server may take to say what it is, and then to take us in.
const TIMEOUT = 2_000
// The longest INFO that is read, in bytes.
const LONGEST = 1024 * 1024

/**
 * Connects to one server after the other, those that were named and those that they have told of. Each connect makes a
 * client of its own, which never reconnects: nothing that was given to one is sent by the next.
 */
export class Dialer {
  readonly #options: NatsOptions
  readonly #scheduler: Scheduler
  readonly #name: string
  /** The one to try next comes first. */
  #addresses: Address[]
  /** What is asked whether it answers. */
  #socket: Socket | undefined
  #closed = false

  constructor (options: NatsOptions, scheduler: Scheduler, name: string) {
    this.#options = options
    this.#scheduler = scheduler
    this.#name = name
    const { addresses } = options
    const first = Math.floor(scheduler.random() * addresses.length)
    this.#addresses = [...addresses.slice(first), ...addresses.slice(0, first)]
  }

  /** How many servers there are to be tried. */
  get size (): number {
    return this.#addresses.length
  }

  /** Takes over what a server says of its cluster. */
  learn ({ connect_urls: told = [] }: Pick<ServerInfo, 'connect_urls'>): void {
    const all = new Map([...this.#options.addresses, ...told.map(toAddress)].filter((address) => address !== undefined).map((address) => [nameOf(address), address]))
    const kept = this.#addresses.filter((address) => all.delete(nameOf(address)))
    for (const address of all.values()) kept.splice(Math.floor(this.#scheduler.random() * (kept.length + 1)), 0, address)
    this.#addresses = kept
  }

  /** Connects to the next one. */
  async next (): Promise<Client> {
    const address = this.#addresses.shift() as Address
    this.#addresses.push(address)
    const { credentials, certificates } = await readFiles(this.#options)
    // nats.js does not let go of the socket of a connect that it gives up. So it is only told to where somebody answers.
    const info = await this.#askForInfo(address)
    const secure = this.#options.tls || info.tls_required === true || info.tls_available === true
    const client = await connect({
      servers: nameOf(address),
      name: this.#name,
      timeout: TIMEOUT,
      reconnect: false,
      resolve: false,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
      // Never: where the kernel takes no more it would wait for the other side before it lets go of a silent link.
      pingInterval: 2 ** 31 - 1,
      ...credentials,
      ...(secure && { tls: { ...certificates, ...this.#certifiedFor(address) } as NonNullable<ConnectionOptions['tls']> })
    })
    this.learn(client.info ?? info)
    return client
  }

  /** Ends a connect that is under way. */
  close (): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  /** What a server says of itself to whoever connects. */
  #askForInfo (address: Address): Promise<ServerInfo> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('it is closed'))
      const socket = this.#socket = createConnection(address)
      const cancel = this.#scheduler.after(TIMEOUT, () => socket.destroy(new Error(`no answer within ${TIMEOUT} ms`)))
      let text = ''
      socket.setEncoding('utf8')
      socket.on('data', (data: string) => {
        text += data
        if (!text.includes('\r\n') && text.length < LONGEST) return
        try {
          const [, info] = /^INFO\s+(\{.*\})\s*?\r\n/i.exec(text) ?? []
          resolve(JSON.parse(info as string) as ServerInfo)
          socket.destroy()
        } catch {
          socket.destroy(new Error('what answers is no NATS server'))
        }
      })
      socket.on('error', reject)
      socket.on('close', () => {
        cancel()
        reject(new Error('it hung up'))
      })
    })
  }

  /** Servers tell of the others of their cluster by IP, and certificates are for names: theirs are for those that were named. */
  #certifiedFor ({ host }: Address): { servername?: string, host: string } {
    const { addresses } = this.#options
    const named = isIP(host) === 0 || addresses.some((address) => address.host === host) ? host : addresses.find(({ host }) => isIP(host) === 0)?.host ?? host
    return isIP(named) === 0 ? { servername: named, host: named } : { servername: '', host: named }
  }
}

function nameOf ({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

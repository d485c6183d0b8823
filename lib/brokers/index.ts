import type { Settings } from '../options.js'
import type { Broker } from './broker.js'
import { errors } from '../errors.js'

// Each is imported only where it is asked for: nobody loads the client of a broker that is not used.
const schemes: Record<string, (url: URL, settings: Settings) => Promise<Broker>> = {
  'memory:': async (_, { history, idempotencyTtl }) => {
    const { MemoryBroker } = await import('./memory.js')
    return new MemoryBroker({ history, idempotencyTtl })
  }
}

const methods = ['start', 'subscribe', 'unsubscribe', 'publish', 'read', 'positions', 'close'] as const

/** The broker that the options name: made from a URL, or one that was handed over. */
export async function createBroker (settings: Settings): Promise<Broker> {
  const { broker } = settings
  if (typeof broker !== 'string') {
    const missing = methods.find((method) => typeof (broker as Partial<Broker> | null)?.[method] !== 'function')
    if (missing === undefined) return broker
    throw new errors.InvalidOption(`options.broker must be a URL or a broker; it has no ${missing}()`)
  }
  const url = URL.canParse(broker) ? new URL(broker) : undefined
  const create = schemes[url?.protocol ?? '']
  // The URL itself is not repeated: it may carry a password.
  if (url === undefined || create === undefined) {
    const given = url === undefined ? 'this is none' : `not with ${url.protocol}`
    throw new errors.InvalidOption(`options.broker takes a URL that begins with ${Object.keys(schemes).join(' or ')}; ${given}`)
  }
  return await create(url, settings)
}

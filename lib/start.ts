import type { Log } from './rooms/room-host.js'
import type { Settings } from './options.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { errors } from './errors.js'

// Between two tries, in ms.
const AGAIN = 500

/**
 * Calls `begin` again and again while the broker is away, as `brokerOptions.start` says: resolves once it has worked, or at
 * once, and goes on. Rejects with what was wrong last where that takes longer than `startTimeout`, and with what will
 * not pass by itself. `ended` is asked before each try: what was closed meanwhile must not be opened again.
 */
export async function startWith ({ start, startTimeout }: Settings['brokerOptions'], log: Log, begin: () => Promise<void>, ended: () => boolean): Promise<void> {
  const wait = start === 'wait'
  const late = new AbortController()
  let trouble: unknown
  const starting = (async () => {
    while (!ended() && !late.signal.aborted) {
      try {
        return await begin()
      } catch (error) {
        if (wait && !(error instanceof errors.BrokerAway)) throw error
        if (!wait && trouble === undefined) log.error({ err: error }, 'fan-out: the broker could not be reached, trying again')
        trouble = error
      }
      await sleep(AGAIN * (0.5 + Math.random()), undefined, { ref: wait })
    }
  })()
  if (!wait) return
  await within(startTimeout, starting).catch((error: unknown) => {
    late.abort()
    throw error instanceof errors.BrokerAway ? trouble ?? error : error
  })
}

/** `work`, or a rejection after `timeout` ms. */
export async function within<T> (timeout: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new errors.BrokerAway(`it was not reached within ${timeout} ms`)), timeout)
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

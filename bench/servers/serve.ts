import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { once } from 'node:events'
import { serve as answer } from '../ipc.js'

// Enough for all that come at once; the default of 511 makes some of them try again after a second.
export const BACKLOG = 4_096

// Between two looks at the event loop, in ms.
const RESOLUTION = 5

/** Listens on a free port, and answers what a server of a benchmark is asked. */
export async function listen (server: Server): Promise<void> {
  // A connection that posts may be idle for longer than the default of 5 s, where one batch takes a second to write.
  server.keepAliveTimeout = 0
  server.listen({ host: '127.0.0.1', port: 0, backlog: BACKLOG })
  await once(server, 'listening')
  report(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

export function report (url: string, answers: Record<string, (question: any) => unknown> = {}): void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  answer({ url }, {
    watch () {
      delay.enable()
      delay.reset()
    },
    // What is recorded is the time from one look to the next.
    delay: () => ({ p99: Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION), max: Math.max(0, delay.max / 1e6 - RESOLUTION) }),
    collect: () => global.gc?.(),
    ...answers
  })
}

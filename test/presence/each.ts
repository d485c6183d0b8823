import type { Test } from 'tap'
import { test } from 'tap'

/** The URL of what listens on a port, for one of the brokers. */
export type UrlOf = (on: { port: number }) => string

/** A test that is the same on both brokers of several servers, with a window and without; on both at once, since it is mostly waiting. */
export function onEach (name: string, body: (t: Test, urlOf: UrlOf) => Promise<void>): void {
  test(name, { jobs: 2, timeout: 60_000 }, async (t) => {
    for (const scheme of ['redis', 'redis+pubsub']) {
      t.test(scheme, { buffered: true, timeout: 60_000 }, async (t) => await body(t, ({ port }) => `${scheme}://127.0.0.1:${port}`))
    }
  })
}

// A backend: every second it POSTs the load of three hosts, in one request. It needs nothing but fetch.
//
//   node --import=tsx examples/dashboard/backend.ts
//
// See examples/dashboard/server.ts.
import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'

const url = process.env['URL'] ?? 'http://127.0.0.1:3000'
const key = process.env['PUBLISH_KEY'] ?? 'a-secret-of-the-backend'

/** Publishes, again and again until it is known to have happened; the keys make once of it. */
async function post (messages: Array<{ room: string, data: unknown }>): Promise<void> {
  const body = JSON.stringify({ messages: messages.map((message) => ({ ...message, idempotencyKey: randomUUID() })) })
  for (;;) {
    try {
      const response = await fetch(`${url}/rooms`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body })
      const { failed } = await response.json() as { failed?: number }
      if (failed === 0) return
      console.error('failed', response.status, failed)
    } catch (error) {
      console.error(String(error))
    }
    await setTimeout(1_000)
  }
}

for (;;) {
  await post(['web-1', 'web-2', 'db-1'].map((host) => ({ room: 'load', data: { host, cpu: Math.round(Math.random() * 100) } })))
  await setTimeout(1_000)
}

import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { StageServer } from './servers.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { post } from '../helpers.js'

export interface ChildServer extends StageServer { kill (): Promise<void> }

/** A server in another process: it is published to over HTTP, and can be killed. */
export async function childServer (t: Test, options: FanOutOptions, env: NodeJS.ProcessEnv = {}): Promise<ChildServer> {
  const program = fileURLToPath(new URL('fixtures/server.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify({ history: { size: 100_000 }, ...options })], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: { ...process.env, ...env }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit').then(() => { throw new Error('the server ended before it had started') })
  ended.catch(() => {})
  const [{ url }] = await Promise.race([once(child, 'message') as Promise<[{ url: string }]>, ended])
  const server: ChildServer = {
    url,
    async publish (room, text) {
      const { status, body } = await post(`${url}/rooms/${encodeURIComponent(room)}`, text)
      if (status !== 200) throw Object.assign(new Error(body.message), { code: body.code })
      return body
    },
    async kill () {
      server.dead = true
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  return server
}

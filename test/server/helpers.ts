import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export const MAIN = fileURLToPath(new URL('../../dist/lib/server/main.js', import.meta.url))
export const KEY = 'a-publish-key-for-tests'

export interface Running {
  child: ChildProcess
  /** Where it listens, as `http://127.0.0.1:1234`; found in what it prints. */
  origin: string
  /** What it has printed so far, on stdout and on stderr. */
  output: () => string
  /** Resolves with its exit code, or with the signal that ended it. */
  exited: Promise<number | NodeJS.Signals | null>
}

/** Starts the built program with this environment and nothing else of ours; it ends with the test. */
export function start (t: Test, env: Record<string, string>, args: string[] = []): Omit<Running, 'origin'> {
  if (!existsSync(MAIN)) throw new Error('these tests run what is built: npm run build')
  // An own environment: what stands in that of the tests (PORT, tap's loaders) is not what is tested.
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  child.stdout.on('data', (chunk) => { printed += chunk })
  child.stderr.on('data', (chunk) => { printed += chunk })
  const exited = once(child, 'close').then(([code, signal]) => signal ?? code)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { child, exited, output: () => printed }
}

/** The same, on a free port, once it listens. */
export async function serve (t: Test, env: Record<string, string> = {}): Promise<Running> {
  const program = start(t, { PORT: '0', FAN_OUT_PUBLISH_KEY: KEY, ...env })
  let over = false
  program.exited.then(() => { over = true })
  await until(() => over || program.output().includes('Live page:'), 'the server listens')
  const origin = /Live page: +(http:\S+?)\/\n/.exec(program.output())?.[1]
  if (origin === undefined) throw new Error(`the server did not start:\n${program.output()}`)
  return { ...program, origin }
}

/** Waits until `condition` holds; fails by name when it does not within 20 s. */
export async function until (condition: () => unknown, name: string): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`waited 20 s in vain until ${name}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Publishes by HTTP, as a backend service does, and answers the message's id. */
export async function publish (origin: string, room: string, data: unknown): Promise<string> {
  const response = await fetch(`${origin}/rooms/${encodeURIComponent(room)}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(data)
  })
  if (response.status !== 200) throw new Error(`publish: ${response.status} ${await response.text()}`)
  return (await response.json() as { id: string }).id
}

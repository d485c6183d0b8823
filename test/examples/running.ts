import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { until } from '../helpers.js'

export const folder = new URL('../../examples/', import.meta.url)

export interface Running { child: ChildProcess, output: () => string, exited: Promise<unknown> }

/** Runs an example as its first lines say, on a free port, without what tap sets for its own children. */
export function start (t: Test, name: string, flags: string[] = [], variables: Record<string, string> = {}): Running {
  const { NODE_OPTIONS, ...env } = process.env
  const child = spawn(process.execPath, ['--import=tsx', ...flags, fileURLToPath(new URL(name, folder))], {
    cwd: fileURLToPath(new URL('..', folder)), env: { ...env, PORT: '0', ...variables }, stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  child.stdout.on('data', (chunk) => { output += String(chunk) })
  child.stderr.on('data', (chunk) => { output += String(chunk) })
  const exited = once(child, 'close').then(([code, signal]) => code ?? signal as unknown)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { child, output: () => output, exited }
}

/** An example that ends by itself: answers what it printed. */
export async function run (t: Test, name: string, ...flags: string[]): Promise<string> {
  const { output, exited } = start(t, name, flags)
  t.equal(await exited, 0, `${name} ends with 0`, { output: output() })
  return output()
}

/** An example that serves: answers where. */
export async function serve (t: Test, name: string, variables: Record<string, string> = {}): Promise<Running & { url: string }> {
  const running = start(t, name, [], variables)
  let over = false
  void running.exited.then(() => { over = true })
  await until(() => over || running.output().includes('listens on'), `${name} listens`, 20_000)
  const url = /listens on (\S+)/.exec(running.output())?.[1]
  if (url === undefined) throw new Error(`${name} did not start:\n${running.output()}`)
  return { ...running, url }
}

import type { ChildProcess, StdioOptions } from 'node:child_process'
import type { Running } from './contestant.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** A server in a process of its own: its CPU time and memory are then its own. */
export interface ServerProcess { url: string, pid: number, stop (): Promise<void> }

/** `ready` resolves to the server's URL; that the server ends before, with what it wrote, is an error. */
export async function startProcess (program: string, args: string[], stdio: StdioOptions, ready: (child: ChildProcess) => Promise<string>): Promise<ServerProcess> {
  // What a test runner sets for its own children is not for these.
  const { NODE_OPTIONS, ...env } = process.env
  const child = spawn(program, args, { stdio, env: { ...env, NODE_ENV: 'production' } })
  let written = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { written = (written + text).slice(-2_000) })
  const exited = once(child, 'exit')
  const ended = exited.then(([code, signal]) => { throw new Error(`${program} ended with ${code ?? signal}: ${written}`) })
  ended.catch(() => {})
  const kill = () => { child.kill('SIGKILL') }
  process.once('exit', kill)
  const stop = async () => {
    process.off('exit', kill)
    kill()
    await exited
  }
  try {
    return { url: await Promise.race([ready(child), ended]), pid: child.pid as number, stop }
  } catch (error) {
    if (child.pid !== undefined) await stop()
    throw error
  }
}

/** `count` servers, or none: where one does not start, the others are stopped. */
export async function startAll (count: number, start: () => Promise<ServerProcess>): Promise<Pick<Running, 'urls' | 'pids' | 'stop'>> {
  const started = await Promise.allSettled(Array.from({ length: count }, start))
  const servers = started.flatMap((result) => result.status === 'fulfilled' ? [result.value] : [])
  const stop = async () => { await Promise.all(servers.map(async (server) => await server.stop())) }
  const failed = started.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  return { urls: servers.map(({ url }) => url), pids: servers.map(({ pid }) => pid), stop }
}

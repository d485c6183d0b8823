import type { ChildProcess, StdioOptions } from 'node:child_process'
import type { Ask, Running, StartOptions } from './contestant.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Child } from '../ipc.js'

/** A server in a process of its own: its CPU time and memory are then its own. */
export interface ServerProcess { url: string, pid: number, ask?: Ask, stop (): Promise<void> }

/** As many servers as are wanted, each a program of `bench/servers/` that is given `options`. */
export async function startServers (program: string, options: object, { servers = 1 }: StartOptions): Promise<Pick<Running, 'urls' | 'pids' | 'ask' | 'stop'>> {
  return await startAll(servers, async () => {
    const child = await Child.start<{ url: string }>(new URL(`../servers/${program}`, import.meta.url), options)
    return { url: child.ready.url, pid: child.pid, ask: child.ask, stop: async () => await child.stop() }
  })
}

/** A program of anybody's. `ready` resolves to the server's URL; that the server ends before, with what it wrote, is an error. */
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

/** `count` servers, or none: where one does not start, the others are stopped. The first is the one that is asked. */
export async function startAll (count: number, start: () => Promise<ServerProcess>): Promise<Pick<Running, 'urls' | 'pids' | 'ask' | 'stop'>> {
  const started = await Promise.allSettled(Array.from({ length: count }, start))
  const servers = started.flatMap((result) => result.status === 'fulfilled' ? [result.value] : [])
  const stop = async () => { await Promise.all(servers.map(async (server) => await server.stop())) }
  const failed = started.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  const ask = servers[0]?.ask
  return { urls: servers.map(({ url }) => url), pids: servers.map(({ pid }) => pid), ...(ask && { ask }), stop }
}

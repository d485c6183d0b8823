import type { Running, StartOptions } from './contestant.js'
import { Child } from '../ipc.js'

/** Starts as many processes of a program of `bench/servers/` as are wanted; if one fails, none is left. */
export async function startServers (program: string, options: object, { servers = 1 }: StartOptions): Promise<Pick<Running, 'urls' | 'pids' | 'ask' | 'stop'>> {
  const started = await Promise.allSettled(Array.from({ length: servers }, () => Child.start<{ url: string }>(new URL(`../servers/${program}`, import.meta.url), options)))
  const children = started.flatMap((result) => result.status === 'fulfilled' ? [result.value] : [])
  const stop = async (): Promise<void> => { await Promise.all(children.map((child) => child.stop())) }
  const failed = started.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  return { urls: children.map(({ ready }) => ready.url), pids: children.map(({ pid }) => pid), ask: children[0]!.ask, stop }
}

import type { Question } from '../contestants/contestant.js'
import { FIRST } from '../message.js'

type Publish = Extract<Question, { ask: 'publish' }>

/** Publishes batches in this process, to one room after the other, so many at a time; see `Question`. */
export function publishing (send: (room: string, messages: object[]) => Promise<void>): (question: Publish) => Promise<{ published: number, seconds: number, cpu: number }> {
  return async ({ rooms, batch, inFlight, bytes, warmUp, duration }) => {
    const begun = performance.now()
    const pad = 'x'.repeat(bytes - JSON.stringify({ n: FIRST, pad: '' }).length)
    let [batches, published] = [0, 0]
    let before: NodeJS.CpuUsage | undefined
    let used: NodeJS.CpuUsage | undefined

    async function work (): Promise<void> {
      for (;;) {
        const room = rooms[batches++ % rooms.length] as string
        await send(room, Array.from({ length: batch }, (_, i) => ({ n: FIRST + batches * batch + i, pad })))
        const passed = performance.now() - begun
        if (passed > warmUp + duration) {
          used ??= process.cpuUsage(before)
          return
        }
        if (passed > warmUp) {
          before ??= process.cpuUsage()
          published += batch
        }
      }
    }
    await Promise.all(Array.from({ length: inFlight }, work))
    return { published, seconds: duration / 1_000, cpu: (used!.user + used!.system) / 1e6 }
  }
}

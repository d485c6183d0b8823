import type { Test } from 'tap'
import type { FanOutOptions } from '../../index.js'
import type { Entry, Outcome, Publishes, Transcript, Verdict } from './oracle.js'
import { until } from '../helpers.js'
import { cursor, gather } from './oracle.js'
import { behindProxies } from './servers.js'
import { Stage } from './stage.js'

// A live link that lags is cut after 3 s: who changes servers can be sent again what the other had not heard by then, and nothing older. With some leeway, in ms.
const LAG = 5_000

/**
 * The judgement where nothing is kept. Each publishing server has an order of its own, and an epoch a room: in that order,
 * each message comes once, or a gap stands in its place that is no older than it. Whoever comes back is told, whatever was
 * missed; such gaps are not counted.
 */
export function judgeWindowless (transcripts: readonly Transcript[], outcomes: readonly Outcome[]): Verdict {
  const verdict: Verdict = { duplicates: [], disorder: [], losses: [], gaps: 0 }
  const publishes = gather(transcripts, outcomes, verdict)
  for (const transcript of transcripts) read(transcript, publishes, verdict)
  return verdict
}

function read ({ name, entries }: Transcript, { byText, acknowledged }: Publishes, verdict: Verdict): void {
  const wrong = (kind: 'duplicates' | 'disorder' | 'losses', what: string): void => { verdict[kind].push(`${name}: ${what}`) }
  const ids = entries.map(({ id }) => cursor(id))
  const received = new Set<string>()
  /** The highest number, by server and epoch. */
  const heard = new Map<string, number>()
  let visit: Entry & { type: 'subscribed' } | undefined
  for (const [i, entry] of entries.entries()) {
    const before = entries[i - 1]
    if (entry.type === 'subscribed') {
      if (entry.recovered !== (visit === undefined ? undefined : false)) wrong('losses', `${entry.id}: recovered is ${entry.recovered}`)
      const next = entries[i + 1]
      // One that is cut off again before it has come is owed it when it comes back.
      const owed = visit !== undefined && next?.type !== 'subscribed'
      if (owed && !(next?.type === 'gap' && next.id === entry.id)) wrong('losses', `it came back at ${entry.id}, and no gap came`)
      visit = entry
    } else if (visit === undefined) {
      wrong('disorder', `${entry.id} before subscribed`)
    } else if (entry.type === 'gap') {
      if (entry.reason !== 'expired') wrong('disorder', `a gap at ${entry.id} is ${entry.reason}`)
      const isOfReturn = before?.type === 'subscribed' && before.recovered === false
      if (!isOfReturn) verdict.gaps++
    } else {
      const { epoch, offset } = ids[i]!
      const sender = `${visit.server} ${epoch}`
      const { at, took } = byText.get(entry.text) ?? { at: Infinity, took: 0 }
      if (offset <= (heard.get(sender) ?? 0)) wrong(received.has(entry.text) ? 'duplicates' : 'disorder', `${entry.id} came at ${epoch}-${heard.get(sender)}`)
      else if (received.has(entry.text) && visit.at - (at + took) > LAG) wrong('duplicates', `${entry.id} was received before, elsewhere`)
      heard.set(sender, Math.max(offset, heard.get(sender) ?? 0))
      received.add(entry.text)
    }
  }
  for (const { id, text, at } of acknowledged) {
    if (received.has(text) || !(at > (entries[0]?.at ?? Infinity))) continue
    const { epoch, offset } = cursor(id as string)
    const isOf = (i: number): boolean => entries[i]!.type === 'message' && ids[i]!.epoch === epoch
    const next = entries.findIndex((_, i) => isOf(i) && ids[i]!.offset > offset)
    const end = next < 0 ? entries.length : next
    const last = entries.findLastIndex((_, i) => i < end && isOf(i) && ids[i]!.offset < offset)
    const isTold = entries.slice(last + 1, end).some((entry) => entry.type === 'gap' && entry.at >= at)
    if (!isTold) wrong('losses', `${text} (${id}) was acknowledged, is missing, and no gap stands in its place`)
  }
}

/** Servers on one Redis or NATS, each behind a proxy, and listeners, where nothing is kept. */
export async function startWindowless (t: Test, { url, port }: { url: string, port: number }, { servers = 2, listeners = 24, rooms = 3, user = '', options = {} as FanOutOptions } = {}): Promise<Stage> {
  const scheme = url.startsWith('nats:') ? 'nats' : 'redis+pubsub'
  return await Stage.start(t, { servers: await behindProxies(t, port, { scheme, servers, user, options }), listeners, rooms, judge: judgeWindowless })
}

/** Waits until what every server publishes reaches everybody, after which nothing older is on its way. Until the links are back, it may be lost. */
export async function arrives (stage: Stage): Promise<void> {
  await until(async () => {
    const outcomes = (await Promise.all(stage.living.map(async (server) => await stage.publishEverywhere(1, server)))).flat()
    await stage.healed()
    return outcomes.every(({ room, text, result }) => result === 'acknowledged' && stage.listeners.every((listener) => listener.room !== room || listener.texts.includes(text)))
  }, `what is published to arrive, seed ${stage.seed}`, 15_000)
}

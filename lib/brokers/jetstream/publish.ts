import type { Cursor } from '../../cursor.js'
import type { Published } from '../broker.js'
import type { Pending } from '../publisher.js'
import type { Api, PubAck } from './api.js'
import type { Certainty } from './certainty.js'
import type { Keeper } from './keeper.js'
import type { Lineage } from './lineage.js'
import type { Pack } from './pack.js'
import { compareLineages, idAt, isTold } from './lineage.js'
import { pack, placesOf } from './pack.js'
import { asAway, isUnderWay, JetStreamError, passes, STREAM_NOT_FOUND } from './refusals.js'

// How long an acknowledgement is waited for, in ms, before the message is sent again under the same id: nobody may lead the stream.
const TRY = 2_000
const PAUSES = [20, 50, 100, 200]
// Bytes of a message that are not its payload, about.
const HEADERS = 256

export interface Publishing {
  api: Api
  keeper: Keeper
  /** How long the stream remembers an id, in ms. */
  memory: number
  /** Waits for about so many ms; answers false where it is all over. */
  pause: (delay: number) => Promise<boolean>
  certainty: Certainty
  /** It may be gone. */
  suspect: () => void
}

/** A pack that was stored: the ids of its messages. */
interface Accepted { ids: Cursor[], duplicate: boolean }

/**
 * Stores the messages of a room in their order, in packs that are all under way at once, and never rejects: what failed is the result of
 * each. What had no answer is sent again under its `Nats-Msg-Id`, by which JetStream finds the first try; but not behind a
 * later one of the room that was acknowledged, since that would turn the order round.
 */
export async function publish (publishing: Publishing, subject: string, room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
  const { api, keeper, memory } = publishing
  // An id that is forgotten would let the message in twice.
  const deadline = Math.min(Math.max(...batch.map(({ deadline }) => deadline)), api.now + 0.9 * memory)
  // What it takes is told with the link.
  await api.connection.reach(deadline).catch(() => {})
  const most = Math.min(api.connection.serverInfo?.max_payload ?? Infinity, keeper.bounds.bytes) - HEADERS
  const packs = pack(room, batch, most)
  const results = await store(publishing, subject, packs, deadline)
  return packs.flatMap((pack, i): Array<Published | Error> => {
    const result = results[i] as Accepted | Error
    return result instanceof Error ? pack.texts.map(() => result) : publishedOf(pack, result)
  })
}

function publishedOf ({ keyed }: Pack, { ids, duplicate }: Accepted): Published[] {
  return ids.map((id) => ({ id, duplicate: duplicate && keyed }))
}

/** Stores packs, and answers what became of each. */
async function store (publishing: Publishing, subject: string, packs: readonly Pack[], deadline: number): Promise<Array<Accepted | Error>> {
  const { api, keeper, pause, certainty, suspect } = publishing
  const results: Array<Accepted | Error | undefined> = packs.map(() => undefined)
  let sentIn: Lineage | undefined
  for (let tries = 0; ; tries++) {
    const open = [...packs.keys()].filter((i) => results[i] === undefined)
    // What the stream is like has to be known first: it might give out sequences again.
    const known = await certainty.untilSure(deadline)
    // What was sent may have been stored, and come to clients, and been lost: to store it again would bring it twice.
    if (sentIn !== undefined && isTold(compareLineages(sentIn, keeper.lineage).news)) {
      return results.map((result) => result ?? api.connection.away('the stream lost what it had; whether the message was published is not known'))
    }
    if (known) sentIn ??= keeper.lineage
    const answers = known
      ? await send(publishing, subject, open.map((i) => packs[i] as Pack), Math.min(deadline, api.now + TRY))
      : open.map(() => api.connection.away('the stream was not reached in time'))
    let last = -1
    for (const [n, answer] of answers.entries()) {
      const i = open[n] as number
      if (!(answer instanceof Error)) {
        last = i
        results[i] = answer
      } else if (!passes(answer)) results[i] = asAway(answer)
    }
    for (const [n, i] of open.entries()) {
      const answer = answers[n] as Error
      // One whose first try is under way keeps its place.
      if (results[i] === undefined && ((i < last && !isUnderWay(answer)) || api.now >= deadline)) results[i] = asAway(answer)
    }
    if (results.every((result) => result !== undefined)) return results as Array<Accepted | Error>
    if (tries > 0) suspect()
    if (!await pause(PAUSES[Math.min(tries, PAUSES.length - 1)] as number)) return results.map((result, i) => result ?? asAway(answers[open.indexOf(i)]))
  }
}

/** The same, in one try. */
async function send ({ api, keeper, certainty }: Publishing, subject: string, packs: readonly Pack[], deadline: number): Promise<Array<Accepted | Error>> {
  const { high, epoch } = keeper
  const { doubts } = certainty
  const results: Array<Accepted | Error | undefined> = packs.map(() => undefined)
  const late: Array<Promise<void>> = []
  const accept = ({ seq, duplicate = false }: PubAck, i: number): void => {
    // Nobody would find it.
    if (seq <= keeper.lineage.segments[0]!.start) results[i] = new JetStreamError(STREAM_NOT_FOUND, 'the stream was another one')
    else {
      const { messageId, texts, settles } = packs[i] as Pack
      keeper.see(seq, messageId)
      const accepted = { ids: placesOf(seq, texts.length).map((place) => idAt(keeper.lineage, place)), duplicate }
      results[i] = accepted
      // The others may be long in coming.
      for (const [n, published] of publishedOf(packs[i] as Pack, accepted).entries()) settles[n]!(published)
    }
  }
  const failure = await api.publish(subject, packs.map(({ texts, messageId }) => ({ text: texts.join('\n'), messageId })), deadline, (answer, i) => {
    if (answer instanceof Error) {
      results[i] = answer
      return
    }
    if (answer.duplicate !== true && answer.seq <= high) {
      keeper.prove(answer.seq, epoch)
      certainty.doubt()
    }
    if (certainty.isSure && certainty.doubts === doubts && keeper.epoch === epoch) return accept(answer, i)
    // Since it was sent the stream can have become another one, under the same sequences.
    late.push(certainty.surely(deadline, async () => await api.at(answer.seq, deadline)).then((stored) => {
      if (stored?.messageId === (packs[i] as Pack).messageId) accept(answer, i)
      else results[i] = api.connection.away('it is not known what became of the stream')
    }, (error: Error) => { results[i] = error }))
  }).catch((error: Error) => error)
  await Promise.all(late)
  return results.map((result) => result ?? failure as Error)
}

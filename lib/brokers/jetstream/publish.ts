import type { Published } from '../broker.js'
import type { Pending } from '../publisher.js'
import type { Api, PubAck } from './api.js'
import type { Certainty } from './certainty.js'
import type { Keeper } from './keeper.js'
import { createHash } from 'node:crypto'
import { asAway, isUnderWay, JetStreamError, passes, STREAM_NOT_FOUND } from './api.js'
import { idAt } from './lineage.js'

// How long an acknowledgement is waited for, in ms, before the message is sent again under the same id: nobody may lead the stream.
const TRY = 2_000
const PAUSES = [20, 50, 100, 200]

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

/**
 * Stores the messages of a room in their order, all under way at once, and never rejects: what failed is the result of
 * each. What had no answer is sent again under its `Nats-Msg-Id`, by which JetStream finds the first try; but not behind a
 * later message of the room that was acknowledged, since that would turn the order round.
 */
export async function publish (publishing: Publishing, subject: string, room: string, batch: readonly Pending[]): Promise<Array<Published | Error>> {
  const { api, memory, pause, certainty, suspect } = publishing
  const results: Array<Published | Error | undefined> = batch.map(() => undefined)
  const ids = batch.map((pending) => messageId(room, pending))
  // An id that is forgotten would let the message in twice.
  const deadline = Math.min(Math.max(...batch.map(({ deadline }) => deadline)), api.now + 0.9 * memory)
  for (let tries = 0; ; tries++) {
    const open = [...batch.keys()].filter((i) => results[i] === undefined)
    // What the stream is like has to be known first: it might give out sequences again.
    const known = await certainty.untilSure(deadline)
    const answers = known
      ? await send(publishing, subject, open.map((i) => ({ text: batch[i]!.text, messageId: ids[i] as string })), Math.min(deadline, api.now + TRY))
      : open.map(() => api.connection.away('the stream was not reached in time'))
    let last = -1
    for (const [n, answer] of answers.entries()) {
      const i = open[n] as number
      if (!(answer instanceof Error)) {
        last = i
        results[i] = { id: answer.id, duplicate: answer.duplicate && batch[i]!.idempotencyKey !== undefined }
      } else if (!passes(answer)) results[i] = asAway(answer)
    }
    for (const [n, i] of open.entries()) {
      const answer = answers[n] as Error
      // One whose first try is under way keeps its place.
      if (results[i] === undefined && ((i < last && !isUnderWay(answer)) || api.now >= deadline)) results[i] = asAway(answer)
    }
    if (results.every((result) => result !== undefined)) return results as Array<Published | Error>
    if (tries > 0) suspect()
    if (!await pause(PAUSES[Math.min(tries, PAUSES.length - 1)] as number)) return results.map((result, i) => result ?? asAway(answers[open.indexOf(i)]))
  }
}

/** Stores messages, in one try, and answers what became of each. */
async function send ({ api, keeper, certainty }: Publishing, subject: string, messages: ReadonlyArray<{ text: string, messageId: string }>, deadline: number): Promise<Array<Published | Error>> {
  const { high, epoch } = keeper
  const results: Array<Published | Error | undefined> = messages.map(() => undefined)
  const late: Array<Promise<void>> = []
  const accept = ({ seq, duplicate = false }: PubAck, place: number): void => {
    // Nobody would find it.
    if (seq <= keeper.lineage.segments[0]!.start) results[place] = new JetStreamError(STREAM_NOT_FOUND, 'the stream was another one')
    else {
      keeper.see(seq, messages[place]!.messageId)
      results[place] = { id: idAt(keeper.lineage, seq), duplicate }
    }
  }
  const failure = await api.publish(subject, messages, deadline, (answer, place) => {
    if (answer instanceof Error) {
      results[place] = answer
      return
    }
    if (answer.duplicate !== true && answer.seq <= high) {
      keeper.prove(answer.seq, epoch)
      certainty.doubt()
    }
    if (certainty.isSure) return accept(answer, place)
    late.push(certainty.untilSure(deadline).then((sure) => {
      if (sure) accept(answer, place)
      else results[place] = api.connection.away('it is not known what became of the stream')
    }))
  }).catch((error: Error) => error)
  await Promise.all(late)
  return results.map((result) => result ?? failure as Error)
}

/** Ids are the stream's, and keys the room's. */
function messageId (room: string, { idempotencyKey, token }: Pending): string {
  return idempotencyKey === undefined ? token : `k:${createHash('sha256').update(`${room}\0${idempotencyKey}`).digest('base64url')}`
}

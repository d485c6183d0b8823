import { errors, retryAfter } from '../../errors.js'

// Codes of https://github.com/nats-io/nats-server/blob/main/server/errors.json
export const NOT_FOUND = 10037
export const STREAM_NOT_FOUND = 10059
export const WRONG_LAST_SEQUENCE = [10071, 10164]
export const DUPLICATE_UNDER_WAY = 10158
/** There is no leader, or too few to elect one, it is not done with what came before, or is asked too much. */
const FOR_NOW = [10004, 10008, 10009, 10041, 10118, DUPLICATE_UNDER_WAY, 10163, 10167]

/** What JetStream answers where it does not do what it was asked. `code` is one of its own. */
export class JetStreamError extends Error {
  readonly code: number

  constructor (code: number, description: string) {
    super(description)
    this.code = code
  }
}

/** Whether it is worth trying again. */
export function passes (error: unknown): boolean {
  return error instanceof JetStreamError ? FOR_NOW.includes(error.code) : error instanceof errors.BrokerAway
}

/** Whether an earlier message under the same id is being stored. */
export function isUnderWay (error: unknown): boolean {
  return error instanceof JetStreamError && error.code === DUPLICATE_UNDER_WAY
}

/** Whether there is no such stream. */
export function isGone (error: unknown): boolean {
  return error instanceof JetStreamError && error.code === STREAM_NOT_FOUND
}

/** What JetStream refuses, for those who asked for it. */
export function asAway (error: unknown): Error {
  return error instanceof JetStreamError ? Object.assign(retryAfter(new errors.BrokerAway(`JetStream refuses: ${error.message}`), 5), { cause: error }) : error as Error
}

/** `work`, or undefined where it is refused with one of these codes. */
export async function unless<T> (codes: readonly number[], work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof JetStreamError && codes.includes(error.code)) return undefined
    throw error
  }
}

import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { StoredMessage } from '../broker.js'
import type { Msg } from '../nats/connection.js'
import type { Keeper } from './keeper.js'
import { notAfter, sameCursor } from '../../cursor.js'
import { belongs, emptyTop, has, idAt, passing } from './lineage.js'
import { offsetOf, placeOf, placesOf, textsOf } from './pack.js'
import { Reorder } from './reorder.js'

export interface LiveOptions {
  keeper: Keeper
  scheduler: Scheduler
}

/**
 * What was stored as one, and republished. `before`: the sequence of what was before it in its room, 0 where nothing is
 * stored. `isCurrent`: it is still known to be of the stream as it is.
 */
export interface Arrived { readonly message: Msg, readonly sequence: number, readonly before: number, readonly messageId: string, isCurrent (): boolean }

/** Where the stream ends, in an epoch: after a loss the same sequence is another end. */
export interface End { readonly epoch: number, readonly sequence: number }

/** A room that is subscribed to: where it stands, as far as this server was told, and what comes live of it. */
export class Live {
  /** When the room was last compared, and stood there. */
  #end: End | undefined
  #position: Cursor | undefined
  /** When it was last known to stand there, in ms. */
  #heard = 0
  /** When the message that it stands at came, in ms, where it came live: it is stored no longer than that. */
  #came = -Infinity
  /** Made when it is first needed. */
  #reorder: Reorder | undefined
  readonly #options: LiveOptions

  constructor (options: LiveOptions) {
    this.#options = options
  }

  get position (): Cursor | undefined {
    return this.#position
  }

  /** It stands there now. */
  note (position: Cursor, end?: End): void {
    if (this.#position === undefined || !sameCursor(position, this.#position)) this.#came = -Infinity
    this.#position = position
    this.#heard = this.#options.scheduler.now()
    this.#end = end
  }

  /** Whether nothing at all was stored since it was compared. */
  stoodAt ({ epoch, sequence }: End): boolean {
    return this.#end?.epoch === epoch && this.#end.sequence === sequence
  }

  /**
   * Where it stands while nothing of it is stored: where it was known to stand so short a time ago that nothing can have
   * come, and grown too old. But where the message that it stands at should still be there, it was purged, and so may others have been that did not come.
   */
  whereNothingIsStored (): Cursor {
    const { keeper: { lineage, bounds }, scheduler } = this.#options
    const position = this.#position
    const isYoung = (time: number): boolean => scheduler.now() - time < 0.9 * bounds.maxAge
    return position !== undefined && has(lineage, position) && isYoung(this.#heard) && !isYoung(this.#came) ? position : emptyTop(lineage)
  }

  /** Takes what was republished, and hands it on when its turn has come. */
  take (arrived: Arrived, hand: (stored: StoredMessage) => void): void {
    const { sequence, before } = arrived
    if (this.#reorder === undefined) {
      if (this.#position === undefined || before <= placeOf(this.#position)) return this.#deliver(arrived, hand)
      this.#reorder = new Reorder(this.#options.scheduler, () => this.#position === undefined ? Infinity : placeOf(this.#position))
    }
    this.#reorder.take({ sequence, before, deliver: () => this.#deliver(arrived, hand) })
  }

  #deliver ({ message, sequence, before, messageId, isCurrent }: Arrived, hand: (stored: StoredMessage) => void): void {
    const { keeper: { lineage } } = this.#options
    if (!isCurrent() || !belongs(lineage, sequence)) return
    const id = idAt(lineage, sequence)
    const texts = textsOf({ text: message.string(), messageId })
    const places = placesOf(sequence, texts.length)
    let previous = passing(lineage, before > 0 && belongs(lineage, before) ? idAt(lineage, before) : this.whereNothingIsStored(), places[0])
    if (this.#position === undefined || !notAfter(id, this.#position)) {
      this.note(id)
      this.#came = this.#options.scheduler.now()
    }
    for (const [i, text] of texts.entries()) {
      const one = { epoch: id.epoch, offset: offsetOf(places[i] as number) }
      hand({ type: 'message', id: one, previous, text })
      previous = one
    }
  }
}

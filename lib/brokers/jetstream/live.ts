import type { Cursor } from '../../cursor.js'
import type { Scheduler } from '../../scheduler.js'
import type { StoredMessage } from '../broker.js'
import type { Msg } from '../nats/connection.js'
import type { Keeper } from './keeper.js'
import type { Windows } from './window.js'
import { notAfter, sameCursor } from '../../cursor.js'
import { idAt, passing } from './lineage.js'
import { offsetOf, placeOf, placesOf, textsOf } from './pack.js'
import { Reorder } from './reorder.js'

export interface LiveOptions {
  keeper: Keeper
  windows: Windows
  scheduler: Scheduler
}

/** What was stored as one, and republished. `before`: the sequence of what was before it in its room, 0 where nothing is stored. */
export interface Arrived { readonly message: Msg, readonly sequence: number, readonly before: number, readonly messageId: string }

/** A room that is subscribed to: where it stands, as far as this server was told, and what comes live of it. */
export class Live {
  /** The stream's end when the room was last compared, and stood there. */
  end = 0
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
  note (position: Cursor, end = 0): void {
    if (this.#position === undefined || !sameCursor(position, this.#position)) this.#came = -Infinity
    this.#position = position
    this.#heard = this.#options.scheduler.now()
    this.end = end
  }

  /**
   * Where it stands while nothing of it is stored: where it was known to stand so short a time ago that nothing can have
   * come, and grown too old. But where the message that it stands at should still be there, it was purged, and so may others have been that did not come.
   */
  whereNothingIsStored (): Cursor {
    const { keeper: { lineage, bounds }, windows, scheduler } = this.#options
    const position = this.#position
    const isYoung = (time: number): boolean => scheduler.now() - time < 0.9 * bounds.maxAge
    const isKnown = position !== undefined && lineage.segments.some(({ epoch }) => epoch === position.epoch)
    return isKnown && isYoung(this.#heard) && !isYoung(this.#came) ? position : windows.empty()
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

  #deliver ({ message, sequence, before, messageId }: Arrived, hand: (stored: StoredMessage) => void): void {
    const { keeper, windows } = this.#options
    if (!windows.belongs(sequence)) return
    const { lineage } = keeper
    const id = idAt(lineage, sequence)
    const texts = textsOf({ text: message.string(), messageId })
    const places = placesOf(sequence, texts.length)
    let previous = passing(lineage, before > 0 && windows.belongs(before) ? idAt(lineage, before) : this.whereNothingIsStored(), places[0])
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

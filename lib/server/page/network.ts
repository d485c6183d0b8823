import type { OpenLink } from '../../../client/types.js'

/**
 * A network that can be cut: it stands between the client and its links, whatever their transport. A page cannot break a
 * connection on the wire, so a link is dropped without a word to the client, and what is still on its way is lost; no other
 * is opened until the network is mended.
 */
export class Network {
  #mended: Promise<void> = Promise.resolve()
  #mend: (() => void) | undefined
  #drop: (() => void) | undefined

  get isCut (): boolean {
    return this.#mend !== undefined
  }

  cut (): void {
    this.#mended = new Promise((resolve) => { this.#mend = resolve })
    this.#drop?.()
  }

  mend (): void {
    this.#mend?.()
    this.#mend = undefined
  }

  /** For `connect`: opens links by way of this network. */
  readonly share = (open: OpenLink): OpenLink => async (options, events) => {
    await this.#mended
    const over = (): void => { if (this.#drop === drop) this.#drop = undefined }
    const lost: typeof events.lost = (why) => {
      over()
      events.lost(why)
    }
    const link = await open(options, { open: events.open, frame: events.frame, lost })
    const drop = this.#drop = (): void => {
      link.close()
      lost({ code: 1006, reason: 'cut by the button of this page', opened: true })
    }
    return {
      transport: link.transport,
      send: (frame) => link.send(frame),
      probe: () => link.probe(),
      close: () => {
        over()
        link.close()
      }
    }
  }
}

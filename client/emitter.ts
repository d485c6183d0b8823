import type { Listenable, Listener, ListenOptions } from './types.js'

interface Listening { type: string, listener: Listener<any>, once: boolean | undefined }

/** As an EventTarget, which not every platform has: the events are plain objects. */
export class Emitter<Events> implements Listenable<Events> {
  readonly #all = new Set<Listening>()

  addEventListener<Type extends keyof Events & string> (type: Type, listener: Listener<Events[Type]>, { once, signal }: ListenOptions = {}): void {
    if (this.#find(type, listener)) return
    const listening = { type, listener, once }
    this.#all.add(listening)
    onAbort(signal, () => this.#all.delete(listening))
  }

  removeEventListener<Type extends keyof Events & string> (type: Type, listener: Listener<Events[Type]>): void {
    this.#all.delete(this.#find(type, listener)!)
  }

  #find (type: string, listener: Listener<any>): Listening | undefined {
    return [...this.#all].find((listening) => listening.type === type && listening.listener === listener)
  }

  emit (event: Events[keyof Events] & { type: string }): void {
    for (const listening of [...this.#all]) {
      const { type, listener, once } = listening
      // One before it may have removed it.
      if (type === event.type && this.#all.has(listening)) {
        if (once) this.#all.delete(listening)
        try {
          if (typeof listener === 'function') listener.call(this, event)
          else listener.handleEvent(event)
        } catch (error) {
          // The others are told all the same, and the platform reports it.
          setTimeout(() => { throw error })
        }
      }
    }
  }
}

/** Calls `listener` when it is aborted, or at once where it was. Answers what ends that: not every platform takes a signal for it. */
export function onAbort (signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal?.aborted) listener()
  signal?.addEventListener('abort', listener)
  return () => signal?.removeEventListener('abort', listener)
}

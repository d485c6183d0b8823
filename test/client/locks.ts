import type { Locks } from '../../client/hub.js'

interface Waiting { granted: () => unknown, resolve (value: unknown): void, reject (error: unknown): void }

/** Web Locks (exclusive ones), which Node 20 has not. */
export class FakeLocks implements Locks {
  readonly #held = new Map<string, Waiting>()
  readonly #queues = new Map<string, Waiting[]>()

  request (name: string, { signal, steal }: { signal?: AbortSignal, steal?: boolean }, granted: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const waiting = { granted, resolve, reject }
      if (signal?.aborted) return reject(signal.reason)
      const queue = this.#queues.get(name) ?? []
      this.#queues.set(name, queue)
      signal?.addEventListener('abort', () => {
        const index = queue.indexOf(waiting)
        if (index < 0) return
        queue.splice(index, 1)
        reject(signal.reason)
      })
      if (steal) {
        queue.unshift(waiting)
        this.release(name)
      } else {
        queue.push(waiting)
        queueMicrotask(() => this.#next(name))
      }
    })
  }

  query = async (): Promise<unknown> => ({})

  get names (): string[] {
    return [...this.#held.keys()]
  }

  /** Whoever holds it does so no more, as when its page is gone. */
  release (name: string): void {
    this.#held.get(name)?.reject(new Error('AbortError'))
    this.#held.delete(name)
    this.#next(name)
  }

  #next (name: string): void {
    const next = this.#held.has(name) ? undefined : this.#queues.get(name)?.shift()
    if (next === undefined) return
    this.#held.set(name, next)
    void Promise.resolve(next.granted()).then((value) => {
      if (this.#held.get(name) !== next) return
      this.#held.delete(name)
      next.resolve(value)
      this.#next(name)
    })
  }
}

/** Makes `locks` those of the platform. */
export function installLocks (locks: FakeLocks | undefined): void {
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true, writable: true })
}

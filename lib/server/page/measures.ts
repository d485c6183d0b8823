export interface Second { rate: number, /** In ms, undefined where nothing of this page's own arrived. */ median: number | undefined, slowest: number | undefined }

// Ids whose other half may still come.
const MOST = 5_000

/** What is plotted: how many messages arrive in a second, and how long those take that this page publishes itself, from the click to their arrival. */
export class Measures {
  #rate = 0
  #latencies: number[] = []
  readonly #arrived = new Map<string, number>()
  readonly #published = new Map<string, number>()

  arrived (room: string, id: string): void {
    this.#rate++
    this.#match(`${id} ${room}`, performance.now(), this.#arrived, this.#published, (now, then) => now - then)
  }

  /** A message often arrives before the answer to its POST, from which its id is known. */
  published (room: string, id: string, at: number): void {
    this.#match(`${id} ${room}`, at, this.#published, this.#arrived, (at, arrival) => arrival - at)
  }

  /** What was measured since the last call. */
  take (): Second {
    const sorted = this.#latencies.sort((a, b) => a - b)
    const second = { rate: this.#rate, median: sorted[sorted.length >> 1], slowest: sorted.at(-1) }
    this.#rate = 0
    this.#latencies = []
    return second
  }

  #match (key: string, time: number, own: Map<string, number>, others: Map<string, number>, latency: (own: number, other: number) => number): void {
    const other = others.get(key)
    if (other !== undefined) {
      others.delete(key)
      this.#latencies.push(latency(time, other))
      return
    }
    own.set(key, time)
    if (own.size > MOST) own.delete(own.keys().next().value!)
  }
}

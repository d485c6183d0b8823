import type { BrokerLog } from '../broker.js'

/** What stands for the identity, with scripts, where it is not gone by. */
export const NONE = '-'

/** Which Redis answered last, of each node of a Cluster (a single Redis is under no name), by its `master_replid`. */
export class Identities {
  readonly #byNode = new Map<string, string>()
  readonly #log: BrokerLog | undefined
  #detects: boolean

  constructor (detects: boolean, log: BrokerLog | undefined) {
    this.#detects = detects
    this.#log = log
  }

  /** Whether identities are gone by; if not, each new link stands for one. */
  get detects (): boolean {
    return this.#detects
  }

  /** What a call to `node` brings. */
  get (node: string): string {
    return this.#detects ? this.#byNode.get(node) ?? '' : NONE
  }

  /** What a call to `node` answered, nothing where it knew. Whether all that was seen is to be held against what is there now. */
  learn (node: string, identity: string): boolean {
    if (identity === '' || !this.#detects) return false
    if (identity === NONE) {
      this.#detects = false
      this.#log?.warn({}, "fan-out: Redis does not say who it is (INFO is refused, or names no master_replid), so every reconnect is taken for a failover, and all clients are told of a gap. Give the user the right +info; or set brokerOptions.failover to 'suspect' to accept this, to 'trust' where a failover loses nothing")
      return true
    }
    const first = this.#byNode.size === 0
    // A slot that was looked up anew: the node was there before.
    const known = !this.#byNode.has(node) && [...this.#byNode.values()].includes(identity)
    this.#byNode.set(node, identity)
    return !first && !known
  }
}

import type { Cursor } from '../../lib/cursor.js'
import type { StoredMessage } from '../../lib/brokers/broker.js'
import type { Mode } from './schedule.js'
import type { Caller } from './scripts.js'
import { Witness } from '../../lib/brokers/redis/witness.js'
import { formatCursor } from '../../lib/cursor.js'

/** One server: where it is connected to, where the room stands on it, and what it has seen. */
export class Server {
  readonly name: string
  readonly mode: Mode
  /** The nodes that it publishes and reads at, and that its messages come from. */
  node = 0
  link = 0
  /** How often it has connected to its node. */
  connections = 0
  readonly witness = new Witness()
  position: Cursor = { epoch: 0, offset: 0 }
  /** Messages on their way to it; undefined stands for an announcement. */
  readonly queue: Array<StoredMessage | undefined> = []
  holding = false
  deaf = false
  doubt = false

  constructor (name: string, mode: Mode) {
    this.name = name
    this.mode = mode
  }

  connect (node: number): void {
    this.node = this.link = node
    this.connections++
    this.deaf = false
    this.doubt = true
  }

  /** A call of a script, as `RedisBroker` makes it. Without an answer nothing is learned of it. */
  async call<T extends { top: Cursor, changed: boolean }> (story: string[], script: (caller: Caller) => Promise<T>, answered = true): Promise<T> {
    const link = { index: 0, link: String(this.connections) }
    const caller = { seen: this.witness.seen, suspicion: this.witness.suspicion(link, this.mode === 'trust'), detects: this.mode === 'detect' }
    const answer = await script(caller)
    if (answered) this.witness.confirm(caller.seen, answer.top, link)
    story.push(`  ${this.name} brings ${caller.seen.map(formatCursor).join(' ')}, suspicion ${caller.suspicion}, the top is ${formatCursor(answer.top)}${answer.changed ? ', changed' : ''}`)
    return answer
  }
}

import type { Cursor } from '../../lib/cursor.js'
import type { Hole, StoredMessage } from '../../lib/brokers/broker.js'

/** A message as it truly was. */
interface Truth {
  text: string
  /** The one before it, where it was published. */
  previous: Truth | undefined
  time: number
  acknowledged: boolean
  /** The servers that received it or had it acknowledged. */
  witnesses: Set<object>
}

/** What a reader has got since it began, and was told. */
export class Account {
  readonly name: string
  started: number | undefined
  /** What it had last: nothing yet, a message, or a gap. */
  last: Truth | 'gap' | undefined
  readonly received = new Set<Truth>()
  /** What it was told to forget. */
  readonly disowned = new Set<Truth>()
  readonly gaps: number[] = []
  falseAlarms = 0

  constructor (name: string) {
    this.name = name
  }

  holds (truth: Truth): boolean {
    return this.received.has(truth) && !this.disowned.has(truth)
  }
}

/** What is true, whatever the nodes say. Throws where what a reader gets breaks a promise. */
export class Oracle {
  readonly #alive: Truth[][]
  readonly #past: Truth[][][]
  readonly #published = new Map<string, Truth>()
  time = 0
  /** Once something was lost a gap can come of that at any time: its flag may be lost in turn, and told again. */
  lost = false
  /** Events by which a server that suspects had to connect anew. */
  suspicions = 0

  constructor (nodes: number) {
    this.#alive = Array.from({ length: nodes }, () => [])
    this.#past = Array.from({ length: nodes }, () => [[]])
  }

  get published (): number {
    return this.#published.size
  }

  publish (node: number, text: string, acknowledged: boolean): void {
    const alive = this.#alive[node]!
    const truth: Truth = { text, previous: alive.at(-1), time: this.time, acknowledged, witnesses: new Set() }
    alive.push(truth)
    this.note(node)
    this.#published.set(text, truth)
  }

  /** The server received the message, or had it acknowledged. */
  witness (text: string, server: object): void {
    this.#published.get(text)!.witnesses.add(server)
  }

  copy (from: number, to: number): void {
    this.#alive[to] = [...this.#alive[from]!]
    this.#past[to] = [[...this.#alive[to]!]]
  }

  /** The node is back where it was so many writes ago. */
  rewind (node: number, writes: number): void {
    const past = this.#past[node]!
    past.splice(Math.max(1, past.length - writes))
    this.#alive[node] = [...past.at(-1)!]
  }

  clear (node: number): void {
    this.#alive[node] = []
    this.note(node)
    this.lost = true
  }

  /** Something may have been written to the node. */
  note (node: number): void {
    const past = this.#past[node]!
    past.push([...this.#alive[node]!])
    if (past.length > 10) past.shift()
  }

  lookForLoss (node: number): void {
    const alive = new Set(this.#alive[node])
    for (const truth of this.#published.values()) if (!alive.has(truth)) this.lost = true
    // A node that never heard of the room begins it again.
    if (alive.size === 0) this.lost = true
  }

  /** A reader gets what its server read on a node. */
  tell (reader: Account, entry: StoredMessage | Hole, node: number): void {
    if (entry.type === 'gap') {
      this.#judgeGap(reader, entry, node)
      reader.gaps.push(this.time)
      reader.last = 'gap'
      return
    }
    const truth = this.#published.get(entry.text)!
    if (reader.holds(truth)) throw new Error(`${reader.name} gets ${entry.text} twice`)
    if (reader.last !== 'gap' && reader.last !== undefined && truth.previous !== reader.last) throw new Error(`${reader.name} gets ${entry.text} after ${reader.last.text}, without a gap`)
    reader.disowned.delete(truth)
    reader.received.add(truth)
    reader.last = truth
  }

  #judgeGap (reader: Account, gap: Hole, node: number): void {
    const alive = new Set(this.#alive[node])
    const wasDead = [...reader.received].filter((truth) => !alive.has(truth) && !reader.disowned.has(truth))
    if (gap.reason !== 'expired') for (const truth of reader.received) if (gap.reason === 'epoch' || isAfter(truth, gap.from!)) reader.disowned.add(truth)
    const undisowned = wasDead.filter((truth) => !reader.disowned.has(truth))
    if (undisowned.length > 0) throw new Error(`${reader.name} is told ${gap.reason}, and still holds ${undisowned[0]!.text}, which is no more`)
    if (gap.reason === 'expired') {
      const missing = this.#alive[node]!.some((truth) => !reader.holds(truth))
      if (!missing) throw new Error(`${reader.name} is told of expired messages, and has them all`)
      return
    }
    this.lookForLoss(node)
    // One for each event, however many servers it made suspicious.
    if (!this.lost && ++reader.falseAlarms > this.suspicions) throw new Error(`${reader.name} is told ${gap.reason}, and nothing was lost`)
  }

  /** At the end, with all at one node: who has what, or was told. `living` are the servers that are still there to witness. */
  check (node: number, readers: readonly Account[], living: ReadonlySet<object>): void {
    const alive = new Set(this.#alive[node])
    for (const reader of readers) {
      if (reader.started === undefined) continue
      for (const truth of this.#published.values()) {
        if (!truth.acknowledged && !alive.has(truth)) continue
        const told = reader.gaps.some((time) => time >= truth.time)
        const has = reader.holds(truth)
        if (truth.time <= reader.started || (has && alive.has(truth)) || told) continue
        if (has) throw new Error(`${reader.name} holds ${truth.text}, which is no more, and was told nothing`)
        if (!alive.has(truth) && ![...truth.witnesses].some((server) => living.has(server))) continue
        throw new Error(`${truth.text} was acknowledged, and ${reader.name} neither has it nor was told`)
      }
    }
  }
}

function isAfter (truth: Truth, from: Cursor): boolean {
  let offset = 1
  for (let previous = truth.previous; previous !== undefined; previous = previous.previous) offset++
  return offset > from.offset
}

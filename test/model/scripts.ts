import type { Cursor } from '../../lib/cursor.js'
import type { Window } from '../../lib/brokers/broker.js'
import type { Kept, Lineage, Segment } from '../../lib/brokers/redis/lineage.js'
import { judge, positionAt, windowOf } from '../../lib/brokers/redis/lineage.js'

/** What a server brings with a call: what it has seen, its suspicion, and whether it goes by the node's identity. */
export interface Caller { seen: readonly Cursor[], suspicion: number | '', detects: boolean }

/** What a server asks of one node, whether that is a model or a Redis. All of it is about one room. */
export interface Nodes {
  publish (node: number, text: string, caller: Caller): Promise<{ id: Cursor, previous: Cursor, changed: boolean }>
  positions (node: number, caller: Caller): Promise<{ top: Cursor, changed: boolean }>
  read (node: number, detects: boolean, since: Cursor, forebears: readonly Cursor[], limit: number): Promise<Window>
  /** `to` is from now on a copy of what `from` is. */
  copy (from: number, to: number): Promise<void>
  /** Becomes a primary, or starts again: with an identity of its own. */
  renew (node: number): Promise<void>
  /** Is as it was `operations` ago. */
  rewind (node: number, operations: number): Promise<void>
  deleteMeta (node: number): Promise<void>
  deleteStream (node: number): Promise<void>
  flush (node: number): Promise<void>
}

interface Meta extends Lineage { node: number | undefined, marks: Map<number, number> }
interface State { meta: Meta | undefined, stream: Kept[] }

/** The scripts, as a model: what `lib/brokers/redis/*.ts` do in Lua, on plain values. */
export class ModelNodes implements Nodes {
  readonly #size: number
  readonly #past: State[][] = []
  readonly #identities: number[] = []
  #fresh = 0

  constructor (nodes: number, size: number) {
    this.#size = size
    for (let node = 0; node < nodes; node++) {
      this.#past.push([{ meta: undefined, stream: [] }])
      this.#identities.push(++this.#fresh)
    }
  }

  async publish (node: number, text: string, caller: Caller): Promise<{ id: Cursor, previous: Cursor, changed: boolean }> {
    const state = this.#begin(node)
    const { meta, changed } = this.#enter(node, state, caller)
    const previous = positionAt(meta, meta.top)
    const offset = ++meta.top
    state.stream = [...state.stream, { offset, text }].slice(-this.#size)
    return { id: { epoch: meta.segments.at(-1)!.epoch, offset }, previous, changed }
  }

  async positions (node: number, caller: Caller): Promise<{ top: Cursor, changed: boolean }> {
    const { meta, changed } = this.#enter(node, this.#begin(node), caller)
    return { top: positionAt(meta, meta.top), changed }
  }

  async read (node: number, detects: boolean, since: Cursor, forebears: readonly Cursor[], limit: number): Promise<Window> {
    const state = this.#begin(node)
    const { meta } = this.#enter(node, state, { seen: [], suspicion: '', detects })
    const before = state.stream[0] === undefined ? meta.top : state.stream[0].offset - 1
    const { from, hole } = judge(meta, since, before, forebears)
    const rest = state.stream.filter(({ offset }) => offset > from)
    return windowOf(meta, rest.slice(0, limit), rest.length > limit, from, since, hole)
  }

  async copy (from: number, to: number): Promise<void> {
    this.#past[to] = [clone(this.#past[from]!.at(-1)!)]
  }

  async renew (node: number): Promise<void> {
    this.#identities[node] = ++this.#fresh
  }

  async rewind (node: number, operations: number): Promise<void> {
    const past = this.#past[node]!
    past.splice(Math.max(1, past.length - operations))
  }

  async deleteMeta (node: number): Promise<void> {
    this.#begin(node).meta = undefined
  }

  async deleteStream (node: number): Promise<void> {
    this.#begin(node).stream = []
  }

  async flush (node: number): Promise<void> {
    Object.assign(this.#begin(node), { meta: undefined, stream: [] })
  }

  /** A state to be changed, with the one before it kept for a rewind. */
  #begin (node: number): State {
    const past = this.#past[node]!
    const state = clone(past.at(-1)!)
    past.push(state)
    if (past.length > 10) past.shift()
    return state
  }

  /** What every script does first. */
  #enter (node: number, state: State, { seen, suspicion, detects }: Caller): { meta: Meta, changed: boolean } {
    const identity = detects ? this.#identities[node]! : undefined
    const epoch = ++this.#fresh
    const meta: Meta = state.meta ?? { segments: [{ epoch, start: 0, flagged: false }], top: 0, node: identity, marks: new Map() }
    let lost = false
    for (const { epoch, offset } of seen) {
      const index = meta.segments.findIndex((segment) => segment.epoch === epoch)
      const end = meta.segments[index + 1]?.start ?? meta.top
      if (index >= 0 && offset <= end) continue
      if ((meta.marks.get(epoch) ?? -1) >= offset) continue
      meta.marks.set(epoch, offset)
      lost = true
    }
    if (state.meta === undefined) {
      // Whoever stands in an earlier history is told by that.
      Object.assign(state, { meta, stream: [] })
      return { meta, changed: true }
    }
    const touched = !detects && suspicion !== ''
    const known = meta.segments.findIndex((segment) => segment.epoch === suspicion)
    const suspects = touched && suspicion !== 0 && !(known >= 0 && meta.segments.slice(known + 1).some(({ flagged }) => flagged))
    const moved = detects && meta.node !== identity
    if (moved || touched || lost) open(meta, { epoch, start: meta.top, flagged: lost || suspects })
    if (detects) meta.node = identity
    return { meta, changed: moved || lost || suspects }
  }
}

function open (meta: Meta, segment: Segment): void {
  const last = meta.segments.at(-1)!
  // One that holds nothing and tells nothing was never seen by anybody.
  const unseen = last.start === meta.top && !last.flagged && meta.segments.length > 1
  meta.segments = [...(unseen ? meta.segments.slice(0, -1) : meta.segments), segment]
}

function clone ({ meta, stream }: State): State {
  return { meta: meta && { ...meta, segments: meta.segments.map((segment) => ({ ...segment })), marks: new Map(meta.marks) }, stream: [...stream] }
}

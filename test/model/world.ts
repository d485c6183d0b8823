import type { Cursor } from '../../lib/cursor.js'
import type { Hole, StoredMessage, Window } from '../../lib/brokers/broker.js'
import type { Action, Mode } from './schedule.js'
import type { Caller, Nodes } from './scripts.js'
import { Witness } from '../../lib/brokers/redis/witness.js'
import { formatCursor, notAfter, sameCursor } from '../../lib/cursor.js'

/** A message as it truly was. */
interface Truth {
  text: string
  /** The one before it, where it was published. */
  previous: Truth | undefined
  time: number
  acknowledged: boolean
  /** The servers that received it or had it acknowledged. */
  witnesses: Set<Server>
}

interface Server {
  name: string
  /** The nodes that it publishes and reads at, and that its messages come from. */
  node: number
  link: number
  mode: Mode
  /** How often it has connected to its node. */
  connections: number
  witness: Witness
  position: Cursor
  /** Messages on their way to it; undefined stands for an announcement. */
  queue: Array<StoredMessage | undefined>
  holding: boolean
  deaf: boolean
  doubt: boolean
}

interface Reader {
  name: string
  server: Server | undefined
  position: Cursor | undefined
  started: number
  /** What it had last: nothing yet, a message, or a gap. */
  last: Truth | 'gap' | undefined
  received: Set<Truth>
  gaps: number[]
  falseAlarms: number
}

const READ = 3

/** Some servers, nodes and readers of one room, and what is true. Throws where a promise is broken. */
export class World {
  readonly story: string[] = []
  readonly #nodes: Nodes
  readonly #alive: Truth[][]
  readonly #past: Truth[][][]
  readonly #published = new Map<string, Truth>()
  readonly #servers: Server[]
  readonly #readers: Reader[]
  #time = 0
  #lost = false
  /** Events by which a server that suspects had to connect anew. */
  #suspicions = 0

  constructor (nodes: Nodes, count: number, modes: readonly Mode[], readers: number) {
    this.#nodes = nodes
    this.#alive = Array.from({ length: count }, () => [])
    this.#past = Array.from({ length: count }, () => [[]])
    this.#servers = modes.map((mode, i) => this.#newServer(`server ${i}`, mode))
    this.#readers = Array.from({ length: readers }, (_, i) => ({ name: `reader ${i}`, server: undefined, position: undefined, started: 0, last: undefined, received: new Set(), gaps: [], falseAlarms: 0 }))
  }

  #newServer (name: string, mode: Mode): Server {
    return { name, mode, node: 0, link: 0, connections: 0, witness: new Witness(), position: { epoch: 0, offset: 0 }, queue: [], holding: false, deaf: false, doubt: false }
  }

  async run (actions: readonly Action[]): Promise<void> {
    for (const server of this.#servers) await this.#join(server)
    for (const action of actions) {
      this.#time++
      this.story.push(JSON.stringify(action))
      await this.#do(action)
    }
    await this.#end()
  }

  async #do (action: Action): Promise<void> {
    const server = this.#servers[('server' in action ? action.server : 0) % this.#servers.length]!
    const reader = this.#readers[('reader' in action ? action.reader : 0) % this.#readers.length]!
    const node = ('node' in action ? action.node : 0) % this.#alive.length
    // What was flagged on suspicion alone can be lost in turn.
    const forks = action.do === 'copy' || action.do === 'promote' || action.do === 'point' || (action.do === 'restart' && action.lost > 0)
    if (forks && this.#servers.some(({ mode }) => mode === 'suspect')) this.#lost = true
    switch (action.do) {
      case 'publish': return await this.#publish(server, action.answered)
      case 'compare': return await this.#compare(server)
      case 'hold': server.holding = true; return
      case 'deliver': return await this.#deliver(server)
      case 'deafen': server.deaf = true; return
      case 'subscribe': return await this.#subscribe(reader, server)
      case 'drop': reader.server = undefined; return
      case 'crash': return await this.#crash(server)
      case 'copy': {
        const from = action.from % this.#alive.length
        if (from === node || this.#servers.some((other) => other.node === node)) return
        await this.#nodes.copy(from, node)
        this.#alive[node] = [...this.#alive[from]!]
        this.#past[node] = [[...this.#alive[node]!]]
        return
      }
      case 'promote':
        await this.#nodes.renew(node)
        this.#lookForLoss(node)
        this.#point(this.#servers, node)
        return
      case 'point': return this.#point([server], node)
      case 'pointLink': server.link = node; return
      case 'restart': {
        await this.#nodes.renew(node)
        await this.#nodes.rewind(node, action.lost)
        const past = this.#past[node]!
        past.splice(Math.max(1, past.length - action.lost))
        this.#alive[node] = [...past.at(-1)!]
        this.#lookForLoss(node)
        this.#point(this.#servers.filter((other) => other.node === node), node)
        return
      }
      case 'flush':
      case 'deleteMeta':
        await (action.do === 'flush' ? this.#nodes.flush(node) : this.#nodes.deleteMeta(node))
        this.#alive[node] = []
        this.#note(node)
        this.#lost = true
        return
      case 'deleteStream':
        await this.#nodes.deleteStream(node)
        this.#note(node)
    }
  }

  /** Once something was lost a gap can come of that at any time: its flag may be lost in turn, and told again. */
  #lookForLoss (node: number): void {
    const alive = new Set(this.#alive[node])
    for (const truth of this.#published.values()) if (!alive.has(truth)) this.#lost = true
    // A node that never heard of the room begins it again.
    if (alive.size === 0) this.#lost = true
  }

  #note (node: number): void {
    const past = this.#past[node]!
    past.push([...this.#alive[node]!])
    if (past.length > 10) past.shift()
  }

  #point (servers: readonly Server[], node: number): void {
    this.#lookForLoss(node)
    if (servers.some(({ mode }) => mode === 'suspect')) this.#suspicions++
    for (const server of servers) {
      server.node = server.link = node
      server.connections++
      server.deaf = false
      server.doubt = true
    }
  }

  /** A call of a script, as `RedisBroker` makes it. Without an answer nothing is learned of it. */
  async #call<T extends { top: Cursor, changed: boolean }> (server: Server, script: (caller: Caller) => Promise<T>, answered = true): Promise<T> {
    const { witness, mode } = server
    const link = { index: 0, link: String(server.connections) }
    const caller = { seen: witness.seen, suspicion: witness.suspicion(link, mode === 'trust'), detects: mode === 'detect' }
    const answer = await script(caller)
    if (answered) witness.confirm(caller.seen, answer.top, link)
    this.story.push(`  ${server.name} brings ${caller.seen.map(formatCursor).join(' ')}, suspicion ${caller.suspicion}, the top is ${formatCursor(answer.top)}${answer.changed ? ', changed' : ''}`)
    return answer
  }

  async #publish (server: Server, answered: boolean): Promise<void> {
    const { node } = server
    const text = String(this.#published.size)
    const { id, previous, changed } = await this.#call(server, async (caller) => {
      const answer = await this.#nodes.publish(node, text, caller)
      return { ...answer, top: answer.id }
    }, answered)
    const alive = this.#alive[node]!
    const truth: Truth = { text, previous: alive.at(-1), time: this.#time, acknowledged: answered, witnesses: new Set() }
    alive.push(truth)
    this.#note(node)
    this.#published.set(text, truth)
    this.story.push(`  ${text} is ${formatCursor(id)} after ${formatCursor(previous)} on ${node}${changed ? ', a new epoch' : ''}`)
    if (answered) truth.witnesses.add(server)
    await this.#carry(node, changed ? [undefined, { type: 'message', id, previous, text }] : [{ type: 'message', id, previous, text }])
  }

  async #carry (node: number, items: Array<StoredMessage | undefined>): Promise<void> {
    for (const other of this.#servers) {
      if (other.link !== node || other.deaf) continue
      other.queue.push(...items)
      if (!other.holding) await this.#deliver(other)
    }
  }

  async #deliver (server: Server): Promise<void> {
    server.holding = false
    for (let item = server.queue.shift(), any = true; any; item = server.queue.shift()) {
      if (item === undefined) server.doubt = true
      else await this.#receive(server, item)
      any = server.queue.length > 0
    }
    if (server.doubt) await this.#compare(server)
  }

  async #receive (server: Server, message: StoredMessage): Promise<void> {
    this.#published.get(message.text)!.witnesses.add(server)
    if (server.witness.learn(message)) server.doubt = true
    if (sameCursor(message.previous, server.position)) this.#accept(server, message)
    else if (!notAfter(message.id, server.position)) await this.#repair(server)
  }

  async #read ({ node, mode, witness }: Server, position: Cursor): Promise<Window> {
    const window = await this.#nodes.read(node, mode === 'detect', position, witness.forebears(position), READ)
    this.#note(node)
    return window
  }

  /** What `Room.repair` does. */
  async #repair (server: Server): Promise<void> {
    for (let more = true; more;) {
      const { position } = server
      const window = await this.#read(server, position)
      for (const entry of window.entries) {
        server.witness.learn(entry)
        if (entry.type === 'message') this.#published.get(entry.text)!.witnesses.add(server)
        this.#accept(server, entry)
      }
      more = window.more
      if (!more && !notAfter(window.position, server.position)) server.position = window.position
    }
  }

  #accept (server: Server, entry: StoredMessage | Hole): void {
    server.position = entry.id
    for (const reader of this.#readers) if (reader.server === server) this.#tell(reader, entry, server)
  }

  async #compare (server: Server): Promise<void> {
    server.doubt = false
    const { witness, position } = server
    if (position.epoch === 0) return
    witness.observe(position)
    const { top, changed } = await this.#call(server, async (caller) => await this.#nodes.positions(server.node, caller))
    this.#note(server.node)
    if (!sameCursor(top, position)) await this.#repair(server)
    if (changed) await this.#carry(server.node, [undefined])
  }

  async #join (server: Server): Promise<void> {
    const { top, changed } = await this.#call(server, async (caller) => await this.#nodes.positions(server.node, caller))
    this.#note(server.node)
    server.position = top
    if (changed) await this.#carry(server.node, [undefined])
  }

  async #crash (server: Server): Promise<void> {
    for (const reader of this.#readers) if (reader.server === server) reader.server = undefined
    const { node, link } = server
    const index = this.#servers.indexOf(server)
    this.#servers[index] = { ...this.#newServer(`${server.name}'`, server.mode), node, link }
    await this.#join(this.#servers[index])
  }

  async #subscribe (reader: Reader, server: Server): Promise<void> {
    reader.server = undefined
    if (reader.position === undefined) {
      reader.position = server.position
      reader.started = this.#time
      reader.last = undefined
    } else {
      // Its server may be behind: what it reads goes as far as the server's position, or further; a live one brings both together.
      for (let more = true; more;) {
        const { position }: { position: Cursor } = reader as { position: Cursor }
        const window = await this.#read(server, position)
        for (const entry of window.entries) this.#tell(reader, entry, server)
        more = window.more
        if (!more && !notAfter(window.position, reader.position)) reader.position = window.position
      }
      if (!sameCursor(reader.position, server.position)) await this.#repair(server)
    }
    reader.server = server
    if (!sameCursor(reader.position, server.position)) throw new Error(`${reader.name} is at ${formatCursor(reader.position)}, ${server.name} at ${formatCursor(server.position)}`)
  }

  #tell (reader: Reader, entry: StoredMessage | Hole, server: Server): void {
    reader.position = entry.id
    if (entry.type === 'gap') {
      this.story.push(`  ${reader.name} is told ${entry.reason} ${entry.from ? formatCursor(entry.from) : ''} to ${formatCursor(entry.id)}`)
      this.#judgeGap(reader, entry, server)
      reader.gaps.push(this.#time)
      reader.last = 'gap'
      return
    }
    const truth = this.#published.get(entry.text)!
    this.story.push(`  ${reader.name} gets ${entry.text} at ${formatCursor(entry.id)}`)
    if (reader.received.has(truth) && !this.#disowned.get(reader)?.has(truth)) throw new Error(`${reader.name} gets ${entry.text} twice`)
    if (reader.last !== 'gap' && reader.last !== undefined && truth.previous !== reader.last) throw new Error(`${reader.name} gets ${entry.text} after ${reader.last.text}, without a gap`)
    this.#disowned.get(reader)?.delete(truth)
    reader.received.add(truth)
    reader.last = truth
  }

  /** What a reader was told to forget. */
  readonly #disowned = new Map<Reader, Set<Truth>>()

  #judgeGap (reader: Reader, gap: Hole, server: Server): void {
    const alive = new Set(this.#alive[server.node])
    let disowned = this.#disowned.get(reader)
    if (disowned === undefined) this.#disowned.set(reader, disowned = new Set())
    const wasDead = [...reader.received].filter((truth) => !alive.has(truth) && !disowned.has(truth))
    if (gap.reason !== 'expired') for (const truth of reader.received) if (gap.reason === 'epoch' || this.#isAfter(truth, gap.from!)) disowned.add(truth)
    const undisowned = wasDead.filter((truth) => !disowned.has(truth))
    if (undisowned.length > 0) throw new Error(`${reader.name} is told ${gap.reason}, and still holds ${undisowned[0]!.text}, which is no more`)
    if (gap.reason === 'expired') {
      const missing = this.#alive[server.node]!.some((truth) => !reader.received.has(truth) || disowned.has(truth))
      if (!missing) throw new Error(`${reader.name} is told of expired messages, and has them all`)
      return
    }
    this.#lookForLoss(server.node)
    // One for each event, however many servers it made suspicious.
    if (!this.#lost && ++reader.falseAlarms > this.#suspicions) throw new Error(`${reader.name} is told ${gap.reason}, and nothing was lost`)
  }

  #isAfter (truth: Truth, from: Cursor): boolean {
    return this.#offset(truth) > from.offset
  }

  #offset (truth: Truth): number {
    let offset = 1
    for (let previous = truth.previous; previous !== undefined; previous = previous.previous) offset++
    return offset
  }

  async #end (): Promise<void> {
    this.story.push('--- all is healed')
    const [{ node }] = this.#servers as [Server]
    for (const server of this.#servers) {
      this.#time++
      await this.#deliver(server)
    }
    this.#point(this.#servers, node)
    for (let round = 0; this.#servers.some(({ doubt }) => doubt); round++) {
      if (round > 20) throw new Error('the servers do not come to rest')
      for (const server of this.#servers) if (server.doubt) await this.#compare(server)
    }
    for (const reader of this.#readers) {
      if (reader.position !== undefined && reader.server === undefined) await this.#subscribe(reader, this.#servers[0]!)
    }
    await this.#publish(this.#servers.at(-1)!, true)
    this.#check(node)
  }

  #check (node: number): void {
    const alive = new Set(this.#alive[node])
    const living = new Set(this.#servers)
    for (const reader of this.#readers) {
      if (reader.position === undefined) continue
      for (const truth of this.#published.values()) {
        if (!truth.acknowledged && !alive.has(truth)) continue
        const told = reader.gaps.some((time) => time >= truth.time)
        const has = reader.received.has(truth) && !this.#disowned.get(reader)?.has(truth)
        if (truth.time <= reader.started || (has && alive.has(truth)) || told) continue
        if (has) throw new Error(`${reader.name} holds ${truth.text}, which is no more, and was told nothing`)
        if (!alive.has(truth) && ![...truth.witnesses].some((server) => living.has(server))) continue
        throw new Error(`${truth.text} was acknowledged, and ${reader.name} neither has it nor was told`)
      }
    }
  }
}

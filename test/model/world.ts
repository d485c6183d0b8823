import type { Cursor } from '../../lib/cursor.js'
import type { Hole, StoredMessage, Window } from '../../lib/brokers/broker.js'
import type { Action, Mode } from './schedule.js'
import type { Nodes } from './scripts.js'
import { formatCursor, notAfter, sameCursor } from '../../lib/cursor.js'
import { Account, Oracle } from './oracle.js'
import { Server } from './server.js'

interface Reader {
  account: Account
  server: Server | undefined
  position: Cursor | undefined
}

const READ = 3

/** Some servers, nodes and readers of one room. Throws where a promise is broken. */
export class World {
  readonly story: string[] = []
  readonly #nodes: Nodes
  readonly #count: number
  readonly #oracle: Oracle
  readonly #servers: Server[]
  readonly #readers: Reader[]

  constructor (nodes: Nodes, count: number, modes: readonly Mode[], readers: number) {
    this.#nodes = nodes
    this.#count = count
    this.#oracle = new Oracle(count)
    this.#servers = modes.map((mode, i) => new Server(`server ${i}`, mode))
    this.#readers = Array.from({ length: readers }, (_, i) => ({ account: new Account(`reader ${i}`), server: undefined, position: undefined }))
  }

  async run (actions: readonly Action[]): Promise<void> {
    for (const server of this.#servers) await this.#join(server)
    for (const action of actions) {
      this.#oracle.time++
      this.story.push(JSON.stringify(action))
      await this.#do(action)
    }
    await this.#end()
  }

  async #do (action: Action): Promise<void> {
    const server = this.#servers[('server' in action ? action.server : 0) % this.#servers.length]!
    const reader = this.#readers[('reader' in action ? action.reader : 0) % this.#readers.length]!
    const node = ('node' in action ? action.node : 0) % this.#count
    // What was flagged on suspicion alone can be lost in turn.
    const forks = action.do === 'copy' || action.do === 'promote' || action.do === 'point' || (action.do === 'restart' && action.lost > 0)
    if (forks && this.#servers.some(({ mode }) => mode === 'suspect')) this.#oracle.lost = true
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
        const from = action.from % this.#count
        if (from === node || this.#servers.some((other) => other.node === node)) return
        await this.#nodes.copy(from, node)
        this.#oracle.copy(from, node)
        return
      }
      case 'promote':
        await this.#nodes.renew(node)
        this.#point(this.#servers, node)
        return
      case 'point': return this.#point([server], node)
      case 'pointLink': server.link = node; return
      case 'restart': {
        await this.#nodes.renew(node)
        await this.#nodes.rewind(node, action.lost)
        this.#oracle.rewind(node, action.lost)
        this.#point(this.#servers.filter((other) => other.node === node), node)
        return
      }
      case 'flush':
      case 'deleteMeta':
        await (action.do === 'flush' ? this.#nodes.flush(node) : this.#nodes.deleteMeta(node))
        this.#oracle.clear(node)
        return
      case 'deleteStream':
        await this.#nodes.deleteStream(node)
        this.#oracle.note(node)
    }
  }

  #point (servers: readonly Server[], node: number): void {
    this.#oracle.lookForLoss(node)
    if (servers.some(({ mode }) => mode === 'suspect')) this.#oracle.suspicions++
    for (const server of servers) server.connect(node)
  }

  async #publish (server: Server, answered: boolean): Promise<void> {
    const { node } = server
    const text = String(this.#oracle.published)
    const { id, previous, changed } = await server.call(this.story, async (caller) => {
      const answer = await this.#nodes.publish(node, text, caller)
      return { ...answer, top: answer.id }
    }, answered)
    this.#oracle.publish(node, text, answered)
    this.story.push(`  ${text} is ${formatCursor(id)} after ${formatCursor(previous)} on ${node}${changed ? ', a new epoch' : ''}`)
    if (answered) this.#oracle.witness(text, server)
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
    this.#oracle.witness(message.text, server)
    if (server.witness.learn(message)) server.doubt = true
    if (sameCursor(message.previous, server.position)) this.#accept(server, message)
    else if (!notAfter(message.id, server.position)) await this.#repair(server)
  }

  async #read ({ node, mode, witness }: Server, position: Cursor): Promise<Window> {
    const window = await this.#nodes.read(node, mode === 'detect', position, witness.forebears(position), READ)
    this.#oracle.note(node)
    return window
  }

  /** What `Room.repair` does. */
  async #repair (server: Server): Promise<void> {
    for (let more = true; more;) {
      const { position } = server
      const window = await this.#read(server, position)
      for (const entry of window.entries) {
        server.witness.learn(entry)
        if (entry.type === 'message') this.#oracle.witness(entry.text, server)
        this.#accept(server, entry)
      }
      more = window.more
      if (!more && !notAfter(window.position, server.position)) server.position = window.position
    }
  }

  #accept (server: Server, entry: StoredMessage | Hole): void {
    server.position = entry.id
    for (const reader of this.#readers) if (reader.server === server) this.#tell(reader, entry, server.node)
  }

  async #compare (server: Server): Promise<void> {
    server.doubt = false
    const { witness, position } = server
    if (position.epoch === 0) return
    witness.observe(position)
    const { top, changed } = await server.call(this.story, async (caller) => await this.#nodes.positions(server.node, caller))
    this.#oracle.note(server.node)
    if (!sameCursor(top, position)) await this.#repair(server)
    if (changed) await this.#carry(server.node, [undefined])
  }

  async #join (server: Server): Promise<void> {
    const { top, changed } = await server.call(this.story, async (caller) => await this.#nodes.positions(server.node, caller))
    this.#oracle.note(server.node)
    server.position = top
    if (changed) await this.#carry(server.node, [undefined])
  }

  async #crash (server: Server): Promise<void> {
    for (const reader of this.#readers) if (reader.server === server) reader.server = undefined
    const { node, link } = server
    const index = this.#servers.indexOf(server)
    this.#servers[index] = Object.assign(new Server(`${server.name}'`, server.mode), { node, link })
    await this.#join(this.#servers[index])
  }

  async #subscribe (reader: Reader, server: Server): Promise<void> {
    reader.server = undefined
    if (reader.position === undefined) {
      reader.position = server.position
      reader.account.started = this.#oracle.time
    } else {
      // Its server may be behind: what it reads goes as far as the server's position, or further; a live one brings both together.
      for (let more = true; more;) {
        const { position }: { position: Cursor } = reader as { position: Cursor }
        const window = await this.#read(server, position)
        for (const entry of window.entries) this.#tell(reader, entry, server.node)
        more = window.more
        if (!more && !notAfter(window.position, reader.position)) reader.position = window.position
      }
      if (!sameCursor(reader.position, server.position)) await this.#repair(server)
    }
    reader.server = server
    if (!sameCursor(reader.position, server.position)) throw new Error(`${reader.account.name} is at ${formatCursor(reader.position)}, ${server.name} at ${formatCursor(server.position)}`)
  }

  #tell (reader: Reader, entry: StoredMessage | Hole, node: number): void {
    reader.position = entry.id
    const { account } = reader
    const what = entry.type === 'gap' ? `is told ${entry.reason} ${entry.from ? formatCursor(entry.from) : ''} to` : `gets ${entry.text} at`
    this.story.push(`  ${account.name} ${what} ${formatCursor(entry.id)}`)
    this.#oracle.tell(account, entry, node)
  }

  async #end (): Promise<void> {
    this.story.push('--- all is healed')
    const [{ node }] = this.#servers as [Server]
    for (const server of this.#servers) {
      this.#oracle.time++
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
    this.#oracle.check(node, this.#readers.map(({ account }) => account), new Set(this.#servers))
  }
}

import type { Client, Room } from '../../../client/index.js'
import type { Entry, Outcome, Retained, Transcript } from '../../faults/oracle.js'
import type { Network } from './network.js'
import type { Place } from './servers.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../../client/index.js'
import { judge } from '../../faults/oracle.js'
import { until } from '../../helpers.js'
import { flakyFetch, flakyWebSocket } from './network.js'
import { Random } from './random.js'

export interface Tally { rounds: number, messages: number, gaps: number, resumes: number, published: number }

// In ms.
const HEARTBEAT = 400
const HEALED = 10_000

/** One client's place in one room, over all its joins: it comes back where it left. */
class Seat implements Transcript {
  readonly entries: Entry[] = []
  joined: Room<string> | undefined

  constructor (readonly name: string, readonly room: string, readonly client: Client, readonly random: Random, readonly tally: Tally) {}

  toggle (): void {
    const { random } = this
    const left = this.joined
    if (left?.state === 'joining' || left?.state === 'joined') return left.leave()
    const begun = this.entries.length > 0
    // What is stored serves as well.
    const since = begun ? random.chance(0.5) ? undefined : left?.id : random.chance(0.3) ? 'earliest' : undefined
    this.join(since)
    // At once, or in the middle of the answer.
    if (begun && random.chance(0.2)) {
      this.joined?.leave()
      this.join()
    }
  }

  join (since?: string): void {
    const room = this.joined = this.client.join<string>(this.room, { since, history: this.random.chance(0.6) })
    const at = (): number => performance.now()
    room.addEventListener('state', ({ state, recovered }) => {
      if (state === 'joined' && this.entries.length === 0) this.entries.push({ type: 'subscribed', id: room.id!, at: at() })
      if (recovered === true) this.tally.resumes++
    })
    room.addEventListener('message', ({ id, data }) => {
      this.tally.messages++
      this.entries.push({ type: 'message', id, text: data, at: at() })
    })
    room.addEventListener('gap', ({ id, reason, from }) => {
      this.tally.gaps++
      this.entries.push({ type: 'gap', id, reason, from, at: at() })
    })
  }
}

let rounds = 0

/** Clients, rooms and publishes by chance over a network that is bad for a while. Answers what is wrong, if anything. */
export async function round (seed: number, servers: Place[], tally: Tally): Promise<string | undefined> {
  const random = new Random(seed)
  const network: Network = { random, urls: servers.map(({ url }) => url), calm: false }
  const number = ++rounds
  const rooms = ['a', 'b', 'c'].map((name) => `${name}${number}`)
  const outcomes: Outcome[] = []
  const clients: Client[] = []
  const seats: Seat[] = []
  const under = new Set<Promise<void>>()

  const publish = (room: string, publisher: (room: string, text: string) => Promise<{ id: string }>): void => {
    const outcome: Outcome = { room, text: `${number}:${outcomes.length}`, result: 'pending', at: performance.now(), took: 0 }
    outcomes.push(outcome)
    const done = publisher(room, outcome.text).then(({ id }) => { Object.assign(outcome, { id, result: 'acknowledged' }) }, (error: unknown) => { Object.assign(outcome, { result: 'unknown', error: String(error) }) })
    under.add(done)
    void done.then(() => under.delete(done))
  }

  const come = (): void => {
    const kept = new Map<string, string>()
    const client = connect(`${servers[0]!.url}/rooms`, {
      transport: random.pick(['auto', 'auto', 'websocket', 'events'] as const),
      heartbeat: HEARTBEAT,
      WebSocket: flakyWebSocket(network),
      fetch: flakyFetch(network),
      storage: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => { kept.set(key, value) } }
    })
    clients.push(client)
    for (const room of rooms) if (random.chance(0.7)) seats.push(new Seat(`${clients.length} in ${room}`, room, client, random, tally))
  }

  try {
    for (let n = 0; n < 4; n++) come()
    for (const seat of seats) seat.toggle()
    for (let n = 0; n < 60; n++) {
      await sleep(random.upTo(25))
      if (random.chance(0.03)) come()
      if (random.chance(0.2)) random.pick(seats).toggle()
      const client = random.pick(clients)
      if (random.chance(0.4)) publish(random.pick(rooms), (room, text) => client.publish(room, text))
      const { app } = random.pick(servers)
      for (let m = random.chance(0.1) ? random.upTo(30) : random.upTo(2); m > 0; m--) publish(random.pick(rooms), (room, text) => app.rooms.publish(room, text))
    }
    network.calm = true
    for (const seat of seats) if (seat.joined === undefined || seat.joined.state === 'left') seat.toggle()
    await until(() => under.size === 0, 'all publishes to be answered', HEALED)
    for (const room of rooms) publish(room, (room, text) => servers[0]!.app.rooms.publish(room, text))
    await until(() => under.size === 0, 'the last publishes', HEALED)
    const ends = new Map(outcomes.map(({ room, id }) => [room, id]))
    await until(() => seats.every(({ room, joined }) => joined?.id === ends.get(room)), 'everybody to be at the end', HEALED)
  } catch (error) {
    return (error as Error).message
  } finally {
    for (const client of clients) client.close()
  }
  tally.rounds++
  tally.published += outcomes.length
  const odd = outcomes.find(({ result }) => result !== 'acknowledged')
  if (odd !== undefined) return `${odd.text} is ${odd.result}: ${odd.error}`
  for (const room of rooms) {
    const { messages } = await servers[0]!.app.rooms.history<string>(room, { limit: 1_000 })
    const retained: Retained = messages.map(({ id, data }) => ({ id, text: data }))
    const { duplicates, disorder, losses } = judge(seats.filter((seat) => seat.room === room), outcomes.filter((outcome) => outcome.room === room), retained)
    const wrong = [...duplicates, ...disorder, ...losses]
    if (wrong.length > 0) return `${wrong.length} wrong: ${wrong.slice(0, 3).join('; ')}`
  }
  return undefined
}

/** Rounds, several at once, until one finds something or the time (in ms) is over. */
export async function hunt (seed: number, servers: Place[], time: number, tally: Tally): Promise<{ at: string, wrong?: string | undefined }> {
  const { random } = Math
  // Delays before another try are by chance: they are short ones.
  const short = new Random(seed)
  Math.random = () => short.next() * 0.1
  const end = performance.now() + time
  let found: { at: string, wrong: string } | undefined
  let next = seed
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (found === undefined && performance.now() < end) {
      const at = next++
      const wrong = await round(at, servers, tally)
      if (wrong !== undefined) found ??= { at: String(at), wrong }
    }
  }))
  Math.random = random
  return found ?? { at: `${next - seed} rounds` }
}

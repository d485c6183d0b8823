import type { FastifyInstance } from 'fastify'
import type { RoomEvent } from '../../index.js'
import type { IncomingMessage } from 'node:http'
import type { Entry, Transcript } from './oracle.js'
import { once } from 'node:events'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'

/** Where a listener connects. `app`: where it is in this process. */
export interface Place { url: string, app?: FastifyInstance }

export const TRANSPORTS = ['websocket', 'stream', 'function'] as const
export type Transport = typeof TRANSPORTS[number]

type Received = { type: string, id: string, recovered?: boolean, data?: unknown, reason?: string, from?: string }

interface Visit { place: Place, abort: AbortController, subscribed: boolean, over: Promise<void> }

// Pause before a listener that was refused, or cut off, tries again, in ms.
const AGAIN = 50

/** A subscriber as clients should be: it comes back with the last id that it was given, on whatever server it is sent to. */
export class Listener implements Transcript {
  readonly name: string
  readonly room: string
  readonly transport: Transport
  readonly entries: Entry[] = []
  /** How often it was cut off, without having left. */
  cuts = 0
  #since: string | undefined
  #visit: Visit | undefined

  constructor (name: string, room: string, transport: Transport) {
    this.name = `${name} (${transport})`
    this.room = room
    this.transport = transport
  }

  get place (): Place | undefined { return this.#visit?.place }
  get subscribed (): boolean { return this.#visit?.subscribed === true }
  get texts (): string[] { return this.entries.flatMap((entry) => entry.type === 'message' ? [entry.text] : []) }
  get gaps (): Array<Entry & { type: 'gap' }> { return this.entries.filter((entry) => entry.type === 'gap') }

  /** Goes to a server, and stays there until it leaves. */
  come (place: Place): void {
    if (this.#visit !== undefined) throw new Error(`${this.name} is still there`)
    const visit: Visit = { place, abort: new AbortController(), subscribed: false, over: Promise.resolve() }
    this.#visit = visit
    visit.over = this.#stay(visit)
  }

  async leave (): Promise<void> {
    const visit = this.#visit
    this.#visit = undefined
    visit?.abort.abort()
    await visit?.over
  }

  async #stay (visit: Visit): Promise<void> {
    const { signal } = visit.abort
    const take = (event: Received): void => { if (!signal.aborted) this.#take(event, visit) }
    const transport = this.transport === 'function' && visit.place.app === undefined ? 'websocket' : this.transport
    while (!signal.aborted) {
      await transports[transport](visit.place, this.room, this.#since, take, signal).catch(() => {})
      if (visit.subscribed && !signal.aborted) this.cuts++
      visit.subscribed = false
      await sleep(AGAIN, undefined, { signal }).catch(() => {})
    }
  }

  #take ({ type, id, recovered, data, reason, from }: Received, visit: Visit): void {
    const at = performance.now()
    if (type === 'subscribed') {
      visit.subscribed = true
      this.entries.push({ type, id, recovered, server: visit.place.url, at })
    } else if (type === 'message') this.entries.push({ type, id, text: (data as string).trimEnd(), at })
    else if (type === 'gap') this.entries.push({ type, id, reason: reason as string, from, at })
    // Until the gap itself has come it stands where it stood.
    if (type !== 'subscribed' || this.#since === undefined) this.#since = id
  }
}

/** Each resolves, or rejects, when the subscription is over. */
const transports: Record<Transport, (place: Place, room: string, since: string | undefined, take: (event: Received) => void, signal: AbortSignal) => Promise<void>> = {
  async websocket ({ url }, room, since, take, signal) {
    const websocket = new WebSocket(`${url.replace(/^http/, 'ws')}/rooms`).on('error', () => {})
    const end = (): void => websocket.terminate()
    signal.addEventListener('abort', end)
    const closed = once(websocket, 'close')
    websocket.on('open', () => websocket.send(JSON.stringify({ type: 'subscribe', room, since })))
    websocket.on('message', (text) => {
      const frame = JSON.parse(String(text)) as Received
      if (frame.type === 'error') end()
      else if (frame.id !== undefined) take(frame)
    })
    await closed
    signal.removeEventListener('abort', end)
  },

  async stream ({ url }, room, since, take, signal) {
    const headers = since === undefined ? {} : { 'last-event-id': since }
    // Not fetch: where that is aborted it connects anew, and says nothing; a closing server waits for it.
    const request = get(`${url}/rooms/${encodeURIComponent(room)}/events`, { agent: false, headers, signal }).on('error', () => {})
    const [response] = await once(request, 'response', { signal }) as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`refused with ${response.statusCode}`)
    let rest = ''
    for await (const chunk of response.setEncoding('utf8')) {
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() as string
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]))
        if (fields['id'] === undefined) continue
        const type = fields['event'] ?? 'message'
        const data = JSON.parse(fields['data'] as string)
        take(type === 'message' ? { type, id: fields['id'], data } : { ...data, type, id: fields['id'] })
      }
    }
  },

  async function ({ app }, room, since, take, signal) {
    // The first events may come before the call resolves.
    const early: RoomEvent[] = []
    let begun = false
    const subscription = await app!.rooms.subscribe(room, { ...(since !== undefined && { since }), signal }, (event) => {
      if (begun) take(event)
      else early.push(event)
    })
    take({ type: 'subscribed', id: subscription.id, ...(subscription.recovered !== undefined && { recovered: subscription.recovered }) })
    for (const event of early) take(event)
    begun = true
    await subscription.closed
  }
}

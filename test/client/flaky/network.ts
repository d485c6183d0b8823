import type { WebSocketConstructor, WebSocketLike } from '../../../client/types.js'
import type { Frame } from '../../helpers.js'
import type { Random } from './random.js'
import WebSocket from 'ws'

/** What lies between a client and the servers, and whether it still makes trouble. */
export interface Network { random: Random, urls: string[], calm: boolean }

const elsewhere = ({ random, urls }: Network, url: string): string => random.pick(urls) + new URL(url).pathname + new URL(url).search

/**
 * WebSockets that lead to one server or another, are refused, late, cut in the middle, or fall silent; and servers that
 * are not to be trusted: they repeat messages, forget gaps, and begin elsewhere than they were asked to.
 */
export function flakyWebSocket (network: Network): WebSocketConstructor {
  const { random } = network
  return class implements WebSocketLike {
    onopen: ((event: any) => void) | null = null
    onmessage: ((event: any) => void) | null = null
    onclose: ((event: any) => void) | null = null
    onerror: ((event: any) => void) | null = null
    readonly #socket: WebSocket
    /** Frames until it is cut, or silent. */
    #left = random.upTo(60)
    readonly #ends = random.chance(0.85) ? 'cut' : 'silent'
    #over = false
    #arrives = Promise.resolve()
    /** Of the subscriptions as they are: may come again. */
    #told: Frame[] = []
    /** Answers to subscribes that are kept until so many messages were lost. */
    readonly #kept = new Map<string, { answer: Frame, lose: number }>()
    readonly #since = new Map<string, string>()
    /** Rooms whose answer told of a hole that lies before all else: only then a client can know of a gap that does not come. */
    readonly #owing = new Set<string>()

    constructor (url: string, protocols?: string[]) {
      this.#socket = new WebSocket(elsewhere(network, url.replace('ws', 'http')).replace('http', 'ws'), protocols)
      this.#socket.on('open', () => !this.#fails() && this.onopen?.({}))
      this.#socket.on('message', (data) => {
        const wait = random.chance(0.1) ? random.upTo(15) : 0
        this.#arrives = this.#arrives.then(() => wait === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, wait))).then(() => this.#take(JSON.parse(String(data)) as Frame))
      })
      this.#socket.on('close', (code) => this.#end(code))
      this.#socket.on('error', () => {})
    }

    send (text: string): void {
      const { type, room, since } = JSON.parse(text) as Frame
      if (type === 'subscribe') this.#since.set(room, since)
      if (!this.#fails()) this.#socket.send(text)
    }

    close (): void {
      this.#over = true
      this.#socket.close()
    }

    /** Whether this frame, and all that follow, do not arrive. */
    #fails (): boolean {
      if (this.#left-- > 0 || network.calm) return this.#over
      if (this.#ends === 'cut' && !this.#over) {
        // The server may have what was sent, and learns only later that nobody is there.
        setTimeout(() => this.#socket.terminate(), random.upTo(50))
        setImmediate(() => this.onclose?.({ code: 1006, reason: '' }))
      }
      this.#over = true
      return true
    }

    #end (code: number): void {
      if (this.#over) return
      this.#over = true
      this.onclose?.({ code, reason: '' })
    }

    #take (frame: Frame): void {
      if (this.#fails()) return
      if (network.calm) {
        for (const { answer } of this.#kept.values()) this.#tell(answer)
        this.#kept.clear()
        return this.#tell(frame)
      }
      const { type, room, recovered, replayed } = frame
      const kept = this.#kept.get(room)
      if (type === 'subscribed' && recovered === true && replayed > 1 && random.chance(0.3)) {
        this.#kept.set(room, { answer: frame, lose: 1 + random.upTo(replayed - 2) })
      } else if (kept !== undefined) {
        if (type === 'message' && kept.lose-- > 0) kept.answer['id'] = frame['id']
        else {
          this.#kept.delete(room)
          this.#tell(kept.answer)
          this.#take(frame)
        }
      } else {
        if (type !== 'gap' || !this.#owing.has(room) || random.chance(0.5)) this.#tell(frame)
        if (type === 'subscribed' && recovered === false && frame['id'] !== this.#since.get(room)) this.#owing.add(room)
        else this.#owing.delete(room)
      }
    }

    #tell (frame: Frame): void {
      this.onmessage?.({ data: JSON.stringify(frame) })
      // What came of the subscription before this one, after the room was left, was not taken: it would be no repeat, but ahead of its turn.
      if (frame.type === 'subscribed') this.#told = this.#told.filter(({ room }) => room !== frame['room'])
      if (frame.type !== 'message' || network.calm) return
      this.#told.push(frame)
      if (random.chance(0.2)) this.onmessage?.({ data: JSON.stringify(random.pick(this.#told)) })
    }
  }
}

/** Requests that fail before they are sent or after they were obeyed, are refused, or whose answer ends in the middle. */
export function flakyFetch (network: Network): typeof fetch {
  const { random } = network
  const fails = (): boolean => !network.calm && random.chance(0.1)
  return async (input, init) => {
    if (fails()) throw new TypeError('away')
    if (init?.method === undefined && fails()) return Response.json({ code: 'FAN_OUT_ERR_BROKER_AWAY', message: 'away' }, { status: 503 })
    const response = await fetch(elsewhere(network, String(input)), init)
    if (fails()) {
      await response.body?.cancel()
      throw new TypeError('away by now')
    }
    let left = random.upTo(40)
    const cut = new TransformStream<Uint8Array, Uint8Array>({
      transform (chunk, controller) {
        if (left-- > 0 || network.calm) controller.enqueue(chunk)
        else if (random.chance(0.5)) controller.error(new TypeError('cut'))
        else controller.terminate()
      }
    })
    return new Response(response.body?.pipeThrough(cut) ?? null, response)
  }
}

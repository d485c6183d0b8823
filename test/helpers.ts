import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { FanOutOptions } from '../index.js'
import type { ClientOptions } from 'ws'
import { once } from 'node:events'
import Fastify from 'fastify'
import WebSocket from 'ws'
import fanOut from '../index.js'

/** A key that is good for every room of an app that `startApp` makes, unless it is given keys of its own. */
export const KEY = 'the-key-of-the-tests'
export const withKey = { authorization: `Bearer ${KEY}` }

let rooms = 0
/** A room that no other test uses. */
export function newRoom (): string {
  return `room:${process.pid}:${++rooms}`
}

/** An app with the plugin, listening on a free port, closed when the test ends. */
export async function startApp (t: Pick<Test, 'teardown'>, options: FanOutOptions = {}, server: FastifyServerOptions = {}, prepare?: (app: FastifyInstance) => unknown): Promise<{ app: FastifyInstance, url: string }> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await prepare?.(app)
  await app.register(fanOut, { publishKeys: [{ id: 'test', key: KEY }], ...options })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url }
}

/** Waits until `condition` answers something truthy, and answers that; fails after `timeout` ms. */
export async function until<T> (condition: () => T | Promise<T>, what = String(condition), timeout = 10_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeout
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`waited ${timeout} ms in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface Frame { type: string, [field: string]: any }

/** A WebSocket client that keeps what it receives. */
export class Client {
  readonly frames: Frame[] = []
  readonly websocket: WebSocket
  closed: { code: number, reason: string } | undefined

  constructor (url: string, protocols: string[] = [], options: ClientOptions = {}) {
    this.websocket = new WebSocket(url.replace(/^http/, 'ws'), protocols, options)
    this.websocket.on('message', (data) => this.frames.push(JSON.parse(String(data)) as Frame))
    this.websocket.on('close', (code, reason) => { this.closed = { code, reason: String(reason) } })
    this.websocket.on('error', () => {})
  }

  send (frame: object | string): void {
    this.websocket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  of (type: string, room?: string): Frame[] {
    return this.frames.filter((frame) => frame.type === type && (room === undefined || frame['room'] === room))
  }

  /** Waits for a frame that has these fields, from the `skip`th such on. */
  async frame (fields: object, skip = 0): Promise<Frame> {
    const matches = (frame: Frame): boolean => Object.entries(fields).every(([name, value]) => JSON.stringify(frame[name]) === JSON.stringify(value))
    return await until(() => this.frames.filter(matches)[skip], `a frame with ${JSON.stringify(fields)}, among ${JSON.stringify(this.frames).slice(0, 500)}`)
  }

  async close (): Promise<{ code: number, reason: string }> {
    return await until(() => this.closed, 'the close of a WebSocket')
  }
}

/** Opens a client, closed when the test ends. `path` may hold a query. */
export async function connect (t: Test, url: string, path = '/rooms', protocols: string[] = [], options: ClientOptions = {}): Promise<Client> {
  const client = new Client(url + path, protocols, options)
  t.teardown(() => client.websocket.terminate())
  await once(client.websocket, 'open')
  return client
}

export interface StreamEvent { event: string, id: string | undefined, data: string }

/** An EventSource by hand, which keeps what it receives and the text it was. */
export class Stream {
  readonly events: StreamEvent[] = []
  text = ''
  ended = false
  readonly response: Response
  readonly #abort: AbortController

  constructor (response: Response, abort: AbortController) {
    this.response = response
    this.#abort = abort
    void this.#read()
  }

  async #read (): Promise<void> {
    const decoder = new TextDecoder()
    try {
      for await (const chunk of this.response.body as unknown as AsyncIterable<Uint8Array>) {
        this.text += decoder.decode(chunk, { stream: true })
        this.events.splice(0, this.events.length, ...parseEvents(this.text))
      }
    } catch {
      // cut off, or aborted
    }
    this.ended = true
  }

  async event (fields: Partial<StreamEvent>, skip = 0): Promise<StreamEvent> {
    const matches = (event: StreamEvent): boolean => Object.entries(fields).every(([name, value]) => event[name as 'id'] === value)
    return await until(() => this.events.filter(matches)[skip], `an event with ${JSON.stringify(fields)}, in ${this.text.slice(0, 500)}`)
  }

  close (): void {
    this.#abort.abort()
  }
}

function parseEvents (text: string): StreamEvent[] {
  const blocks = text.split('\n\n').slice(0, -1)
  return blocks.map((block) => {
    const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]))
    return { event: fields.get('event') ?? 'message', id: fields.get('id'), data: fields.get('data') ?? '' }
  }).filter(({ data }) => data !== '')
}

/** Opens an event stream, closed when the test ends. */
export async function openStream (t: Test, url: string, headers: Record<string, string> = {}): Promise<Stream> {
  const abort = new AbortController()
  const response = await fetch(url, { headers, signal: abort.signal })
  const stream = new Stream(response, abort)
  t.teardown(() => stream.close())
  return stream
}

/** POSTs JSON with the key of the tests. */
export async function post (url: string, body: unknown, headers: Record<string, string> = {}): Promise<{ status: number, headers: Headers, body: any }> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...withKey, ...headers }, body: JSON.stringify(body) })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

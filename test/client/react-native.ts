import type { Context } from 'node:vm'
import { join } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import WebSocket from 'ws'

/** The client, for engines that know nothing of classes with private fields, nor of async generators. */
const bundle = await build({ entryPoints: [join(import.meta.dirname, '../../client/index.ts')], bundle: true, write: false, format: 'iife', globalName: 'fanOut', target: 'es2016' })

/**
 * What a program finds in React Native 0.76 with Hermes, and nothing else: no EventTarget, Event, DOMException, ReadableStream, TextDecoder, page
 * or location, no Symbol.asyncIterator. After its Libraries/Core/setUpXHR.js, and abort-controller and whatwg-fetch, from which it has the rest.
 * `errors`: what it would report of errors that nobody catches.
 */
export function reactNative (): { context: Context, errors: unknown[] } {
  const errors: unknown[] = []
  const context = createContext({
    setTimeout: (callback: () => void, ms?: number) => setTimeout(() => {
      try {
        callback()
      } catch (error) {
        errors.push(error)
      }
    }, ms),
    clearTimeout,
    setInterval,
    clearInterval,
    queueMicrotask,
    console,
    navigator: { product: 'ReactNative' },
    fetch: fetchAll,
    URL: Address,
    URLSearchParams: SearchParams,
    AbortController: Aborter,
    WebSocket: Socket
  })
  runInContext(`
    globalThis.window = globalThis.self = globalThis
    const { asyncIterator, prototype, length, name, ...known } = Object.fromEntries(Reflect.ownKeys(Symbol).map((key) => [key, Symbol[key]]))
    const symbol = Symbol
    globalThis.Symbol = Object.assign((name) => symbol(name), known)
  `, context)
  runInContext(bundle.outputFiles[0]!.text, context)
  return { context, errors }
}

/** Of whatwg-fetch: it answers when all is there, and has no `body`. */
async function fetchAll (url: string, { method, headers, body, signal }: { method?: string, headers?: Record<string, string>, body?: string, signal?: Aborter['signal'] } = {}): Promise<object> {
  const abort = new AbortController()
  signal?.addEventListener('abort', () => abort.abort())
  if (signal?.aborted) abort.abort()
  const response = await fetch(url, { method: method ?? 'GET', headers: headers ?? {}, body: body ?? null, signal: abort.signal })
  const text = await response.text()
  return { ok: response.ok, status: response.status, headers: { get: (name: string) => response.headers.get(name) }, text: async () => text, json: async () => JSON.parse(text) }
}

/** It puts a slash behind everything, and knows its parts only by name. */
class Address {
  readonly href: string

  constructor (url: string) {
    this.href = url.endsWith('/') ? url : `${url}/`
  }

  get origin (): string { throw new Error('URL.origin is not implemented') }
  get pathname (): string { throw new Error('URL.pathname not implemented') }
  get protocol (): string { throw new Error('URL.protocol is not implemented') }
  get host (): string { throw new Error('URL.host is not implemented') }
  get search (): string { throw new Error('URL.search is not implemented') }
  toString (): string { return this.href }
}

class SearchParams {
  readonly #all: Array<[string, string]>

  constructor (params: Record<string, string>) {
    this.#all = Object.entries(params)
  }

  set (): never { throw new Error('URLSearchParams.set is not implemented') }
  get (): never { throw new Error('URLSearchParams.get is not implemented') }
  toString (): string { return this.#all.map((pair) => pair.map(encodeURIComponent).join('=')).join('&') }
}

/** No reason, nothing to be called without an instance, and of the options of a listener only `once`. */
class Aborter {
  readonly signal = {
    aborted: false,
    listeners: new Set<() => void>(),
    addEventListener (_type: string, listener: () => void) { this.listeners.add(listener) },
    removeEventListener (_type: string, listener: () => void) { this.listeners.delete(listener) }
  }

  abort (): void {
    if (this.signal.aborted) return
    this.signal.aborted = true
    for (const listener of this.signal.listeners) listener()
  }
}

/** Its events have no more than is seen here; a connection that fails tells why as the reason of its close. */
class Socket {
  onopen: ((event: object) => void) | undefined
  onmessage: ((event: object) => void) | undefined
  onerror: ((event: object) => void) | undefined
  onclose: ((event: object) => void) | undefined
  readyState = 0
  readonly #socket: WebSocket

  constructor (url: string, protocols?: string[]) {
    const socket = this.#socket = new WebSocket(url, protocols)
    let failed: Error | undefined
    socket.on('open', () => {
      this.readyState = 1
      this.onopen?.({ type: 'open' })
    })
    socket.on('message', (data) => this.onmessage?.({ type: 'message', data: String(data) }))
    socket.on('error', (error) => { failed = error })
    socket.on('close', (code, reason) => {
      this.readyState = 3
      if (failed) this.onerror?.({ type: 'error', message: failed.message })
      this.onclose?.(failed ? { type: 'close', code: 1006, reason: failed.message } : { type: 'close', code, reason: String(reason) })
      this.close()
    })
  }

  send (data: string): void {
    if (this.readyState === 0) throw new Error('INVALID_STATE_ERR')
    this.#socket.send(data)
  }

  close (code = 1000): void {
    if (this.readyState > 1) return
    this.readyState = 2
    this.#socket.close(code)
  }
}

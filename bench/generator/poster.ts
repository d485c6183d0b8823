import type { HttpRequest } from '../contestants/contestant.js'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { FIRST, MARKER } from '../message.js'

/** A POST that is sent again and again, each time with new numbers in its messages. */
export class Template {
  readonly #bytes: Buffer
  readonly #numbers: number[] = []

  constructor (url: string, { path, headers, body }: HttpRequest) {
    const all = { host: new URL(url).host, 'content-length': Buffer.byteLength(body), ...headers }
    this.#bytes = Buffer.from(`POST ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
    for (let at = this.#bytes.indexOf(MARKER); at >= 0; at = this.#bytes.indexOf(MARKER, at + 1)) this.#numbers.push(at + MARKER.length)
  }

  get messages (): number {
    return this.#numbers.length
  }

  /** The request, its messages numbered from `next` on. */
  fill (next: number): Buffer {
    const bytes = Buffer.from(this.#bytes)
    for (const at of this.#numbers) bytes.write(String(FIRST + next++), at, 'latin1')
    return bytes
  }
}

/** A connection that sends one request at a time, and reads no more of the answer than where it ends. */
export class Poster {
  readonly #socket: Socket
  #answer = ''
  /** What to do with the answer to the request under way. */
  #done: ((answer: string) => void) | undefined

  constructor (url: string, failed: (error: Error) => void) {
    const { hostname, port } = new URL(url)
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (chunk: string) => {
      this.#answer += chunk
      if (!isWhole(this.#answer)) return
      const answer = this.#answer
      this.#answer = ''
      if (!/^HTTP\/1.1 20\d/.test(answer)) return failed(new Error(`a POST was answered by ${answer}`))
      this.#done?.(answer)
    })
    this.#socket.on('error', (error) => failed(new Error(`a connection that posts to ${url} has failed`, { cause: error })))
    this.#socket.on('close', () => failed(new Error(`${url} has closed a connection that posts`)))
  }

  post (request: Buffer, done: (answer: string) => void): void {
    this.#done = done
    this.#socket.write(request)
  }

  destroy (): void {
    this.#socket.removeAllListeners('close')
    this.#socket.resetAndDestroy()
  }
}

function isWhole (answer: string): boolean {
  const body = answer.indexOf('\r\n\r\n') + 4
  if (body < 4) return false
  const length = /\r\ncontent-length: *(\d+)/i.exec(answer)?.[1]
  return length === undefined ? answer.endsWith('0\r\n\r\n') || /^HTTP\/1.1 204/.test(answer) : answer.length >= body + Number(length)
}

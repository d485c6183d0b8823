import type { Agent, IncomingHttpHeaders } from 'node:http'
import { once } from 'node:events'
import { request } from 'node:http'

export interface Answer { status: number, headers: IncomingHttpHeaders, text: string, body: any }
export interface Call {
  method?: string
  /** As it stands on the wire: nothing is escaped. */
  path: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  /** Sent without a content-length. */
  chunked?: boolean
  agent?: Agent
}

/** An HTTP request that may be wrong in any way that node:http lets pass. */
export async function call (url: string, { method = 'GET', path, headers = {}, body, chunked = false, agent }: Call): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const length = body === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const outgoing = request({ hostname, port, method, path, headers: { ...length, ...headers }, ...(agent && { agent }) })
  // The server may answer, and close, before it has read all.
  const failed = new Promise<never>((_resolve, reject) => outgoing.on('error', reject))
  failed.catch(() => {})
  if (chunked && body !== undefined) outgoing.write(body)
  outgoing.end(chunked ? undefined : body)
  const [response] = await Promise.race([once(outgoing, 'response'), failed])
  const chunks: Buffer[] = []
  try {
    for await (const chunk of response) chunks.push(chunk)
  } catch (error) {
    if (!response.complete) throw error
  }
  const text = Buffer.concat(chunks).toString()
  return { status: response.statusCode, headers: response.headers, text, body: parse(text) }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What is wrong with the shape of a refusal, if anything. */
export function misshapen ({ status, headers, body }: Answer): string | undefined {
  const { statusCode, code, error, message } = body ?? {}
  if (statusCode !== status) return `statusCode ${statusCode} of ${status}`
  if (!/^FAN_OUT_ERR_[A-Z_]+$/.test(code)) return `code ${code}`
  if (typeof error !== 'string' || typeof message !== 'string' || message === '') return 'no error, or no message'
  if (Object.keys(body).length !== 4) return `fields ${Object.keys(body)}`
  if (headers['content-type'] !== 'application/json; charset=utf-8') return `content-type ${headers['content-type']}`
  if ((status === 503 || status === 429) !== (headers['retry-after'] !== undefined)) return `retry-after ${headers['retry-after']}`
  return undefined
}

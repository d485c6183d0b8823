import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Proxy {
  /** The server's address by way of this proxy. */
  origin: string
  /** Breaks every connection, and every new one, until `restore`. */
  cut (): void
  restore (): void
  /** Leads new connections to another server, or to these in turn. */
  leadTo (...origins: string[]): void
  /** Whether WebSockets are let through, as they are at first. */
  webSockets: boolean
}

/**
 * A network between a browser and the server at `origin` that can be cut. `pages` are answered by the proxy itself, so
 * that a page of the test's own is of the server's origin.
 */
export async function createProxy (t: Test, origin: string, pages: Record<string, string> = {}): Promise<Proxy> {
  let targets = [origin]
  let connections = 0
  const sockets = new Set<Socket>()
  let whole = true

  const server = createServer((client) => {
    if (!whole) return client.resetAndDestroy()
    const { port, hostname } = new URL(targets[connections++ % targets.length]!)
    const upstream = connect(Number(port), hostname)
    const pair = [client, upstream]
    for (const socket of pair) {
      sockets.add(socket)
      // Either end's end is both ends' end.
      socket.on('error', () => {}).on('close', () => {
        sockets.delete(socket)
        for (const other of pair) other.destroy()
      })
    }
    // A connection may be used again, so each request is looked at; they are small, and come whole.
    client.on('data', (chunk) => {
      const text = chunk.toString('latin1')
      const [, path = ''] = /^GET (\S+)/.exec(text) ?? []
      const page = pages[path]
      if (page !== undefined) client.end(`HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${page.length}\r\nconnection: close\r\n\r\n${page}`)
      else if (!proxy.webSockets && /^upgrade: websocket/im.test(text)) client.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      else upstream.write(chunk)
    })
    upstream.pipe(client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  const cut = () => {
    whole = false
    for (const socket of sockets) socket.resetAndDestroy()
  }
  t.teardown(() => {
    cut()
    server.close()
  })
  const address = server.address() as AddressInfo
  const proxy: Proxy = {
    origin: `http://127.0.0.1:${address.port}`,
    cut,
    restore: () => { whole = true },
    leadTo: (...origins) => { targets = origins },
    webSockets: true
  }
  return proxy
}

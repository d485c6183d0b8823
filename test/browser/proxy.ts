import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Proxy {
  /** The server's address by way of this proxy. */
  origin: string
  /** Breaks every connection, and every new one, until `restore`. */
  cut (): void
  restore (): void
}

/** A network between a browser and the server at `origin` that can be cut. */
export async function createProxy (t: Test, origin: string): Promise<Proxy> {
  const { hostname, port } = new URL(origin)
  const sockets = new Set<Socket>()
  let whole = true

  const server = createServer((client) => {
    if (!whole) return client.resetAndDestroy()
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
    client.pipe(upstream).pipe(client)
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
  return { origin: `http://127.0.0.1:${address.port}`, cut, restore: () => { whole = true } }
}

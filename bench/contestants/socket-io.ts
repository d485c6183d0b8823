import type { Contestant } from './contestant.js'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startAll, startProcess } from './server-process.js'

const program = fileURLToPath(new URL('servers/socket-io.js', import.meta.url))

function contestant (name: string, recovery: boolean): Contestant {
  return {
    name,
    async start ({ redis, servers = 1 }) {
      const running = await startAll(servers, async () => await startProcess(
        process.execPath,
        [program, JSON.stringify({ redis, recovery })],
        ['ignore', 'inherit', 'pipe', 'ipc'],
        async (child) => `http://127.0.0.1:${(await once(child, 'message'))[0]}`
      ))
      return {
        ...running,
        socket: {
          // In the connect packet: an event sent before it is answered would close the connection.
          enter: (rooms) => ({ path: '/socket.io/?EIO=4&transport=websocket', frames: ['40' + JSON.stringify({ rooms })] }),
          joined: '42["joined",',
          keepAlive: { ping: '2', pong: '3' }
        },
        publish: (room, messages) => ({
          path: '/publish/' + encodeURIComponent(room),
          headers: { 'content-type': 'application/json' },
          body: `[${messages.join(',')}]`
        })
      }
    }
  }
}

/** At most once, as it comes out of the box. */
export const socketIo = contestant('Socket.IO', false)

/** With its connectionStateRecovery: each message then carries an offset and is kept for clients that come back. */
export const socketIoWithRecovery = contestant('Socket.IO with recovery', true)

// A nats-server that ends with the benchmark, however that ends. It is started anew where an empty one is asked for.
import { NatsServer } from '../../test/nats-server.js'
import { serve } from '../ipc.js'

const ends: Array<() => unknown> = []
async function end (): Promise<void> {
  for (const end of ends.splice(0)) await end()
}
// Its first step is to kill it.
process.on('exit', () => { void end() })

serve({}, {
  start: async () => {
    await end()
    return (await NatsServer.start({ teardown: (end: () => unknown) => { ends.push(end) } }, { jetstream: true })).url
  },
  end
})

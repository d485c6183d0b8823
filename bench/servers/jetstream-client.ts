// NATS' own client, which publishes to a stream that is kept as ours is: what JetStream takes where nothing else is done.
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { options, serve } from '../ipc.js'
import { publishing } from './publishing.js'

const { nats } = options<{ nats: string }>()
// Its traces are of no use here, and cost as much as the rest.
const client = await connect({ servers: nats, noAsyncTraces: true })
const HOURS = 3_600_000 * 1e6
// As `lib/brokers/jetstream/stream.ts` has it.
await (await jetstreamManager(client)).streams.add({
  name: 'bench',
  subjects: ['bench.room.*'],
  republish: { src: 'bench.room.*', dest: 'bench.live.{{wildcard(1)}}' },
  max_msgs_per_subject: 1_001,
  max_age: 25 * HOURS,
  duplicate_window: HOURS,
  allow_direct: true
})
const stream = jetstream(client)
let ids = 0

serve({ url: '' }, {
  publish: publishing(async (room, messages) => {
    await Promise.all(messages.map((data) => stream.publish(`bench.room.${room}`, JSON.stringify(data), { msgID: `bench-${++ids}` })))
  })
})

// Ours, as it is built: `npm run build` comes before.
import type fastifyFanOut from '../../index.js'
import Fastify from 'fastify'
import { options } from '../ipc.js'
import { publishing } from './publishing.js'
import { BACKLOG, report } from './serve.js'

const { broker, key } = options<{ broker: string, key: string }>()
const built = new URL('../../dist/index.js', import.meta.url)
const { default: fanOut } = await import(built.href) as { default: typeof fastifyFanOut }

const app = Fastify()
await app.register(fanOut, { broker, publishKeys: [{ id: 'bench', key }] })

report(await app.listen({ host: '127.0.0.1', port: 0, backlog: BACKLOG }), {
  publish: publishing(async (room, messages) => {
    const results = await app.rooms.publishMany(messages.map((data) => ({ room, data })))
    for (const result of results) if ('error' in result) throw result.error
  })
})
